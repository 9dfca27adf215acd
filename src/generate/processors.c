/* generate/processors.c: the processors in the order in which they run.
 *
 * Each is a function (p, ids, n, scores). Transformers computes softmaxes in float32 over the whole vocabulary; here sums are made in double, and
 * only as many of the best scores are sorted as a rule needs. */
#include "processors.h"

#include "scores.h"

#include <float.h>
#include <math.h>

mica_status mica__processors_create(mica__processors *out, const mica__settings *s, size_t vocab, mica_error *err)
{
    *out = (mica__processors){.s = s, .vocab = vocab};
    out->seen = mica__calloc(vocab, sizeof *out->seen);
    out->candidates = mica__alloc(vocab, sizeof *out->candidates);
    out->keys = mica__alloc(vocab, sizeof *out->keys);
    bool marks = mica__watermark_create(&out->watermark, &s->watermark, vocab);
    if (out->seen && out->candidates && out->keys && marks) return MICA_OK;
    mica__processors_release(out);
    return mica__fail_memory(err, vocab * 16, "scores");
}

void mica__processors_release(mica__processors *p)
{
    mica__free(p->seen);
    mica__free(p->candidates);
    mica__free(p->keys);
    mica__watermark_release(&p->watermark);
    *p = (mica__processors){0};
}

static void ban(float *scores, size_t vocab, mica__id_list list)
{
    for (size_t i = 0; i < list.n; i++) {
        if ((size_t)list.ids[i] < vocab) scores[list.ids[i]] = -INFINITY;
    }
}

static bool ends_with(const int32_t *ids, size_t n, const int32_t *end, size_t n_end)
{
    return n_end <= n && (n_end == 0 || memcmp(ids + n - n_end, end, n_end * sizeof *ids) == 0);
}

/* ---- biases and penalties ---------------------------------------------------------------------------------------------------------------- */

static void bias(const mica__biased *list, size_t n_list, const int32_t *ids, size_t n, float *scores)
{
    for (size_t i = 0; i < n_list; i++) {
        const mica__id_list *q = &list[i].sequence;
        if (q->n > 1 && q->n > n) continue;
        if (ends_with(ids, n, q->ids, q->n - 1)) scores[q->ids[q->n - 1]] += list[i].bias;
    }
}

/* Once for each id that occurs: a negative score is multiplied, a positive one divided. */
static void penalize(mica__processors *p, const int32_t *ids, size_t n, float penalty, float *scores)
{
    for (size_t i = 0; i < n; i++) {
        float *s = &scores[ids[i]];
        if (p->seen[ids[i]]) continue;
        p->seen[ids[i]] = 1;
        *s = *s < 0 ? *s * penalty : *s / penalty;
    }
    for (size_t i = 0; i < n; i++) p->seen[ids[i]] = 0;
}

/* Bans what followed the last size - 1 ids wherever they stand in text[0..n_text). */
static void ban_ngrams(const int32_t *text, size_t n_text, const int32_t *ids, size_t n, size_t size, float *scores)
{
    if (n + 1 < size || n_text < size) return;
    const int32_t *end = ids + n + 1 - size;
    for (size_t i = 0; i + size <= n_text; i++) {
        if (size == 1 || memcmp(text + i, end, (size - 1) * sizeof *text) == 0) scores[text[i + size - 1]] = -INFINITY;
    }
}

/* ---- lengths -------------------------------------------------------------------------------------------------------------------------------- */

static void force(float *scores, size_t vocab, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < vocab; i++) scores[i] = -INFINITY;
    for (size_t i = 0; i < n; i++) scores[ids[i]] = 0;
}

static void lengthen(mica__processors *p, size_t n, float *scores)
{
    const mica__settings *s = p->s;
    int64_t length = (int64_t)n;
    if (length < s->min_length) ban(scores, p->vocab, s->eos);
    if (length - s->n_prompt < s->min_new_tokens) ban(scores, p->vocab, s->eos);
}

static void force_ends(mica__processors *p, size_t n, float *scores)
{
    const mica__settings *s = p->s;
    int64_t length = (int64_t)n;
    if (s->forced_bos >= 0 && length == 1) force(scores, p->vocab, &s->forced_bos, 1);
    if (s->forced_eos.n && length == s->max_length - 1) force(scores, p->vocab, s->forced_eos.ids, s->forced_eos.n);
}

static void remove_invalid(float *scores, size_t vocab)
{
    for (size_t i = 0; i < vocab; i++) {
        if (isnan(scores[i])) scores[i] = 0;
        if (isinf(scores[i])) scores[i] = scores[i] > 0 ? FLT_MAX : -FLT_MAX;
    }
}

static void decay(const mica__processors *p, size_t n, float *scores)
{
    const mica__settings *s = p->s;
    int64_t over = (int64_t)n - s->decay_start;
    if (s->decay_start < 0 || over <= 0) return;
    float factor = (float)(pow(s->decay_factor, (double)over) - 1);
    for (size_t i = 0; i < s->eos.n; i++) {
        if ((size_t)s->eos.ids[i] >= p->vocab) continue;
        float *e = &scores[s->eos.ids[i]];
        if (*e > -INFINITY) *e += fabsf(*e) * factor; /* what is banned stays so */
    }
}

/* ---- choosing a set to draw from ---------------------------------------------------------------------------------------------------------------- */

/* What turns a score into a probability: exp(score - max) / sum. */
typedef struct softmax {
    double max, sum;
} softmax;

static softmax softmax_of(const float *scores, size_t n)
{
    const float max = mica__scores_max(scores, n);
    return (softmax){max, max > -INFINITY ? mica__scores_sum_exp(scores, n, max) : 0};
}

static double probability(softmax m, float score) { return exp(score - m.max) / m.sum; }

/* In nats; removed tokens count nothing. */
static double entropy(const float *scores, size_t n, softmax m)
{
    double h = 0, log_sum = log(m.sum);
    for (size_t i = 0; i < n; i++) {
        if (scores[i] == -INFINITY) continue;
        double log_p = scores[i] - m.max - log_sum;
        h -= exp(log_p) * log_p;
    }
    return h;
}

static void cool(float *scores, size_t n, float temperature)
{
    if (temperature == 1) return;
    mica__scores_divide(scores, n, temperature);
}

static void top_k(mica__processors *p, float *scores)
{
    if (p->s->top_k <= 0) return;
    size_t k = (uint64_t)p->s->top_k < p->vocab ? (size_t)p->s->top_k : p->vocab;
    if (k < p->s->least_kept) k = p->s->least_kept;
    mica__scores_drop_below(scores, p->vocab, mica__select_kth(scores, p->vocab, k, p->keys));
}

/* Keeps the first n candidates, which hold their scores, and no other token. */
static void keep_only(mica__processors *p, float *scores, size_t n)
{
    for (size_t i = 0; i < p->vocab; i++) scores[i] = -INFINITY;
    for (size_t i = 0; i < n; i++) scores[p->candidates[i].id] = p->candidates[i].value;
}

/* Of the hundred best, as many as stay within a share of their entropy; always the best. */
static void top_h(mica__processors *p, float *scores)
{
    if (p->s->top_h < 0) return;
    size_t n = mica__select_top(scores, p->vocab, p->candidates, p->vocab < 100 ? p->vocab : 100);
    if (!n) return;
    double sum = 0, h = 0, spent = 0, max = p->candidates[0].value;
    for (size_t i = 0; i < n; i++) sum += exp(p->candidates[i].value - max);
    for (size_t i = 0; i < n; i++) {
        double log_p = p->candidates[i].value - max - log(sum);
        h -= exp(log_p) * log_p;
    }
    size_t kept = 0;
    for (; kept < n; kept++) {
        double log_p = p->candidates[kept].value - max - log(sum);
        spent -= exp(log_p) * log_p;
        if (kept && (spent > h * p->s->top_h || (float)exp(log_p) == 0)) break;
    }
    keep_only(p, scores, kept);
}

/* The best tokens, as few as reach the probability; seen from below: those go whose cumulated probability is at most 1 - top_p. How many
 * tokens that takes is not known before, so ever more are sorted until it is enough. */
static void top_p(mica__processors *p, float *scores)
{
    if (p->s->top_p >= 1) return;
    softmax m = softmax_of(scores, p->vocab);
    for (size_t want = 64;; want *= 8) {
        if (want > p->vocab) want = p->vocab;
        size_t n = mica__select_top(scores, p->vocab, p->candidates, want), kept = 0;
        double above = 0; /* probability of the better ones */
        while (kept < n && (kept < p->s->least_kept || above < p->s->top_p))
            above += probability(m, p->candidates[kept++].value);
        const bool enough = kept >= p->s->least_kept && above >= p->s->top_p;
        if (kept == n && n == want && want < p->vocab && !enough) continue;
        keep_only(p, scores, kept);
        return;
    }
}

/* Tokens with at least this score must be kept: the best one, with beams some more. */
static float safe_score(mica__processors *p, const float *scores)
{
    if (p->s->least_kept == 1) return mica__scores_max(scores, p->vocab);
    return mica__select_kth(scores, p->vocab, p->s->least_kept, p->keys);
}

/* Drops tokens below a probability, but never the best ones. Only scores near the limit need their probability; `single`: compared in
 * single precision. */
static void cut_off(mica__processors *p, float *scores, double limit, softmax m, bool single)
{
    const float safe = safe_score(p, scores), at = (float)(m.max + log(limit * m.sum)), band = 1e-3f;
    mica__scores_drop_below(scores, p->vocab, at - band < safe ? at - band : safe);
    for (size_t i = 0; i < p->vocab; i++) {
        if (i % MICA__SCORE_BLOCK == 0) i = mica__scores_find(scores, i, p->vocab, -FLT_MAX);
        if (i == p->vocab) break;
        if (!(scores[i] < safe && scores[i] < at + band)) continue;
        const double likely = probability(m, scores[i]);
        if (single ? (float)likely < (float)limit : likely < limit) scores[i] = -INFINITY;
    }
}

static bool any_between(const float *scores, size_t n, float low, float high)
{
    for (size_t i = 0; i < n; i++) {
        if (i % MICA__SCORE_BLOCK == 0) i = mica__scores_find(scores, i, n, low);
        if (i == n) break;
        if (scores[i] >= low && scores[i] < high) return true;
    }
    return false;
}

/* A share of the best one's probability is a distance to its score. The sum of all that a probability takes is only made where rounding
 * could matter. */
static void min_p(mica__processors *p, float *scores)
{
    if (p->s->min_p <= 0) return;
    const float max = mica__scores_max(scores, p->vocab), at = (float)((double)max + log(p->s->min_p)), band = 2e-3f;
    if (any_between(scores, p->vocab, at - band, at + band)) {
        const softmax m = softmax_of(scores, p->vocab);
        cut_off(p, scores, p->s->min_p / m.sum, m, true);
    } else {
        const float safe = safe_score(p, scores);
        mica__scores_drop_below(scores, p->vocab, at < safe ? at : safe);
    }
}

/* Tokens whose information is nearest to the entropy, until they have the mass. */
static void typical(mica__processors *p, float *scores)
{
    if (p->s->typical_p >= 1) return;
    softmax m = softmax_of(scores, p->vocab);
    double h = entropy(scores, p->vocab, m), log_sum = log(m.sum);
    for (size_t i = 0; i < p->vocab; i++) { /* keys are negated: the nearest is the largest */
        p->keys[i] = scores[i] == -INFINITY ? -INFINITY : -(float)fabs(-(scores[i] - m.max - log_sum) - h);
    }
    for (size_t want = 256;; want *= 8) {
        if (want > p->vocab) want = p->vocab;
        size_t n = mica__select_top(p->keys, p->vocab, p->candidates, want), last = 0;
        double mass = 0;
        for (; last < n; last++) {
            mass += probability(m, scores[p->candidates[last].id]);
            if (mass >= p->s->typical_p) break;
        }
        if ((last == n || n < p->s->least_kept) && n == want && want < p->vocab) continue;
        if (!n) return;
        if (last + 1 < p->s->least_kept) last = p->s->least_kept - 1;
        float limit = p->candidates[last < n ? last : n - 1].value;
        for (size_t i = 0; i < p->vocab; i++) {
            if (p->keys[i] < limit) scores[i] = -INFINITY;
        }
        return;
    }
}

static void epsilon_and_eta(mica__processors *p, float *scores)
{
    double epsilon = p->s->epsilon_cutoff, eta = p->s->eta_cutoff;
    if (epsilon > 0 && epsilon < 1) cut_off(p, scores, epsilon, softmax_of(scores, p->vocab), false);
    if (eta > 0 && eta < 1) {
        softmax m = softmax_of(scores, p->vocab);
        cut_off(p, scores, fmin(eta, sqrt(eta) * exp(-entropy(scores, p->vocab, m))), m, false);
    }
}

void mica__log_softmax(float *scores, size_t n)
{
    softmax m = softmax_of(scores, n);
    float shift = (float)(m.max + log(m.sum));
    for (size_t i = 0; i < n; i++) scores[i] -= shift;
}

void mica__processors_penalize(mica__processors *p, const int32_t *ids, size_t n, float *scores)
{
    const mica__settings *s = p->s;
    size_t n_prompt = (size_t)s->n_prompt;
    bias(s->biases, s->n_biases, ids, n, scores);
    if (s->encoder_repetition_penalty != 1)
        penalize(p, p->prompt.ids, p->prompt.n, 1 / s->encoder_repetition_penalty, scores);
    const size_t unseen = (uint64_t)s->unseen < n ? (size_t)s->unseen : n;
    if (s->repetition_penalty != 1) penalize(p, ids + unseen, n - unseen, s->repetition_penalty, scores);
    if (s->no_repeat_ngram > 0) ban_ngrams(ids, n, ids, n, (size_t)s->no_repeat_ngram, scores);
    if (s->encoder_no_repeat_ngram > 0) ban_ngrams(ids, n_prompt, ids, n, (size_t)s->encoder_no_repeat_ngram, scores);
    bias(s->bad_words, s->n_bad_words, ids, n, scores);
    lengthen(p, n, scores);
}

void mica__processors_force(mica__processors *p, size_t n, float *scores)
{
    const mica__settings *s = p->s;
    size_t n_prompt = (size_t)s->n_prompt;
    force_ends(p, n, scores);
    if (s->remove_invalid) remove_invalid(scores, p->vocab);
    decay(p, n, scores);
    ban(scores, p->vocab, s->suppress);
    /* Where a first token is forced, the first free one comes after it. */
    size_t begin = n_prompt > 1 || s->forced_bos < 0 ? n_prompt : n_prompt + 1;
    if (n == begin) ban(scores, p->vocab, s->begin_suppress);
}

void mica__processors_warp(mica__processors *p, const int32_t *ids, size_t n, float *scores)
{
    const mica__settings *s = p->s;
    if (s->do_sample) {
        cool(scores, p->vocab, s->temperature);
        top_h(p, scores);
        top_k(p, scores);
        top_p(p, scores);
        min_p(p, scores);
        typical(p, scores);
        epsilon_and_eta(p, scores);
    }
    mica__watermark_apply(&p->watermark, ids, n, scores);
    if (s->renormalize) mica__log_softmax(scores, p->vocab);
}

void mica__processors_apply(mica__processors *p, const int32_t *ids, size_t n, float *scores)
{
    mica__processors_penalize(p, ids, n, scores);
    mica__processors_force(p, n, scores);
    mica__processors_warp(p, ids, n, scores);
}
