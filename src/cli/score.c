/* cli/score.c: from a text to figures. */
#include "score.h"

#include <string.h>

static const char sample[] =
    "The village lay at the end of the valley, where the road became a path and the path gave up among the stones. "
    "Forty families lived there, most of them from sheep, a few from bees, and one, as everybody knew, from repairing "
    "clocks that had been given up elsewhere. The old man who did the repairing was called Tobias. He had hands like "
    "roots and eyes that saw best at a distance of three inches, and he had not left the valley since the winter in "
    "which the bridge went down.\n\n"
    "One morning in April a girl brought him a clock that had no hands. She put it on his table and said that it had "
    "belonged to her grandmother, that it had never gone, and that she would like to know what time it was. Tobias "
    "turned it over twice. The case was walnut, the back was brass, and inside, where a clock keeps its wheels, there "
    "was a folded sheet of paper and nothing else.\n\n"
    "\"It cannot go,\" he said. \"It was never meant to.\"\n\n"
    "\"Then what is it for?\" she asked.\n\n"
    "He gave her the paper, and she read it aloud, slowly, because the writing was small. It was a list of things to "
    "do in the course of a day: feed the hens at sunrise, open the upper sluice an hour later, bring in the washing "
    "before the wind turns, sit down in the evening and look at the hill. Against each of them stood a little drawing "
    "of the shadow that the gatepost throws at that hour.\n\n"
    "Water boils at a lower temperature on a mountain than beside the sea, because there is less air above it pressing "
    "down. For the same reason bread rises faster there, and cooks who move up from the plain have to learn their "
    "recipes again. In 1850 there were about 1.2 billion people on Earth; by 1950 there were 2.5 billion, and since "
    "then the number has more than tripled. To sort a list of n names one compares pairs of them, and the best that "
    "can be done in general takes a number of comparisons that grows a little faster than n itself: about n times the "
    "logarithm of n.\n";

const char *sample_text(void) { return sample; }

/* The mark that the tokenizer puts before every text, if the model knows it as its begin token: how many ids, 0 or 1. */
static mica_status find_prefix(mica_model *model, const mica_tokenizer *t, int32_t prefix[1], size_t *n,
                               mica_error *err)
{
    mica_ids ids = {0};
    const mica_status status = mica_tokenizer_encode(t, "", 0, MICA_ADD_SPECIAL_TOKENS, &ids, err);
    *n = 0;
    if (status == MICA_OK && ids.n && ids.data[0] == mica_model_get_info(model)->bos_token_id) {
        prefix[0] = ids.data[0];
        *n = 1;
    }
    mica_ids_release(&ids);
    return status;
}

mica_status score_text(mica_model *model, mica_model *reference, const char *text, size_t n, size_t max_tokens,
                       const mica_perplexity_options *options, mica_perplexity_result *result, mica_error *err)
{
    const mica_tokenizer *t;
    mica_ids ids = {0};
    int32_t prefix[1];
    mica_perplexity_options o = *options;
    mica_status status = mica_model_tokenizer(model, &t, err);
    if (status == MICA_OK) status = find_prefix(model, t, prefix, &o.n_prefix, err);
    if (status == MICA_OK) status = mica_tokenizer_encode(t, text, n, 0, &ids, err);
    if (status == MICA_OK) {
        o.prefix = prefix;
        if (max_tokens && ids.n > max_tokens) ids.n = max_tokens;
        status = mica_perplexity(model, reference, ids.data, ids.n, &o, result, err);
    }
    mica_ids_release(&ids);
    return status;
}
