/* text/split_parse.c: reading pre-tokenizers into steps. */
#include "text/split_steps.h"
#include "text/unicode.h"

enum { MAX_STEPS = 256 };

typedef struct context {
    mica__splitter *out;
    mica__arena *arena;
    mica_error *err;
} context;

static mica_status add_step(context *c, const mica__split_kind *kind, mica__split_step **added)
{
    mica__splitter *s = c->out;
    if (s->n == MAX_STEPS) return mica__fail(c->err, MICA_DATA, "pre_tokenizer: more than %d steps", MAX_STEPS);
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 8;
        mica__split_step *steps = mica__realloc(s->steps, cap, sizeof *steps);
        if (!steps) return mica__fail_memory(c->err, cap * sizeof *steps, "pre-tokenizers");
        s->steps = steps;
        s->cap = cap;
    }
    *added = &s->steps[s->n++];
    **added = (mica__split_step){.kind = kind, .behavior = MICA__ISOLATED};
    return MICA_OK;
}

/* A step without settings. */
static mica_status add_plain(context *c, const mica__split_kind *kind)
{
    mica__split_step *s = NULL;
    return add_step(c, kind, &s);
}

static mica_status parse(context *c, const mica__at *at, mica__jval v);

static mica_status parse_sequence(context *c, const mica__at *at, mica__jval v)
{
    mica__jval list;
    MICA_TRY(mica__need_array(at, v, "pretokenizers", &list, c->err));
    mica__at array = {at, "pretokenizers", 0}, element = {&array, NULL, 0};
    for (mica__jval e = mica__json_first(list); e; e = mica__json_next(list, e), element.index++)
        MICA_TRY(parse(c, &element, e));
    return MICA_OK;
}

static mica_status add_chars(context *c, bool (*is_match)(uint32_t), mica__behavior behavior)
{
    mica__split_step *s = NULL;
    MICA_TRY(add_step(c, &mica__split_chars, &s));
    s->is_match = is_match;
    s->behavior = behavior;
    return MICA_OK;
}

static mica_status parse_bert(context *c, const mica__at *at, mica__jval v)
{
    (void)at;
    (void)v;
    MICA_TRY(add_chars(c, mica__is_space, MICA__REMOVED));
    return add_chars(c, mica__is_punctuation, MICA__ISOLATED);
}

static mica_status parse_whitespace_split(context *c, const mica__at *at, mica__jval v)
{
    (void)at;
    (void)v;
    return add_chars(c, mica__is_space, MICA__REMOVED);
}

static mica_status parse_whitespace(context *c, const mica__at *at, mica__jval v)
{
    (void)at;
    (void)v;
    return add_plain(c, &mica__split_words);
}

static mica_status parse_digits(context *c, const mica__at *at, mica__jval v)
{
    bool individual = false;
    MICA_TRY(mica__field_bool(at, v, "individual_digits", &individual, c->err));
    return add_chars(c, mica__is_numeric, individual ? MICA__ISOLATED : MICA__CONTIGUOUS);
}

static mica_status parse_char_delimiter(context *c, const mica__at *at, mica__jval v)
{
    mica__split_step *s = NULL;
    MICA_TRY(add_step(c, &mica__split_chars, &s));
    s->behavior = MICA__REMOVED;
    return mica__need_char(at, v, "delimiter", &s->character, c->err);
}

static mica_status read_behavior(context *c, const mica__at *at, mica__jval v, mica__behavior *out)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    mica__str name = {0};
    MICA_TRY(mica__field_string(at, v, "behavior", &name, c->err));
    if (!name.p) return MICA_OK;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (mica__str_is(name, names[i])) {
            *out = (mica__behavior)i;
            return MICA_OK;
        }
    mica__at here = {at, "behavior", 0};
    return mica__fail_at(c->err, &here, "unknown behavior '%s'", MICA_QUOTED_STR(name));
}

static mica_status parse_punctuation(context *c, const mica__at *at, mica__jval v)
{
    mica__behavior behavior = MICA__ISOLATED;
    MICA_TRY(read_behavior(c, at, v, &behavior));
    return add_chars(c, mica__is_punctuation, behavior);
}

static mica_status parse_split(context *c, const mica__at *at, mica__jval v)
{
    mica__str present;
    MICA_TRY(mica__need_string(at, v, "behavior", &present, c->err));
    mica__split_step *s = NULL;
    MICA_TRY(add_step(c, &mica__split_pattern, &s));
    MICA_TRY(read_behavior(c, at, v, &s->behavior));
    MICA_TRY(mica__field_bool(at, v, "invert", &s->invert, c->err));
    return mica__pattern_parse(&s->pattern, c->arena, at, v, "pattern", c->err);
}

static mica_status parse_byte_level(context *c, const mica__at *at, mica__jval v)
{
    static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    bool prefix = true, use_regex = true;
    MICA_TRY(mica__field_bool(at, v, "add_prefix_space", &prefix, c->err));
    MICA_TRY(mica__field_bool(at, v, "use_regex", &use_regex, c->err));
    if (prefix) MICA_TRY(add_plain(c, &mica__split_prefix_space));
    if (use_regex) {
        mica__split_step *s = NULL;
        MICA_TRY(add_step(c, &mica__split_pattern, &s));
        MICA_TRY(mica__pattern_from_regex(&s->pattern, mica__str_from(gpt2), c->err));
    }
    return add_plain(c, &mica__split_byte_level);
}

/* prepend_scheme, and the older add_prefix_space that it replaced. */
mica_status mica__metaspace_scheme(const mica__at *at, mica__jval v, mica__prepend *out, mica_error *err)
{
    static const char *const names[] = {"always", "first", "never"};
    mica__str name = {0};
    bool prefix = true;
    *out = MICA__PREPEND_ALWAYS;
    MICA_TRY(mica__field_string(at, v, "prepend_scheme", &name, err));
    MICA_TRY(mica__field_bool(at, v, "add_prefix_space", &prefix, err));
    if (!name.p) {
        if (!prefix) *out = MICA__PREPEND_NEVER;
        return MICA_OK;
    }
    mica__at here = {at, "prepend_scheme", 0};
    for (unsigned i = 0; i < 3; i++) {
        if (!mica__str_is(name, names[i])) continue;
        *out = (mica__prepend)i;
        if (!prefix && *out != MICA__PREPEND_NEVER)
            return mica__fail_at(err, &here, "'%s' contradicts add_prefix_space false", names[i]);
        return MICA_OK;
    }
    return mica__fail_at(err, &here, "unknown scheme '%s'", MICA_QUOTED_STR(name));
}

static mica_status parse_metaspace(context *c, const mica__at *at, mica__jval v)
{
    bool split = true;
    mica__split_step *s = NULL;
    MICA_TRY(add_step(c, &mica__split_metaspace, &s));
    MICA_TRY(mica__need_char(at, v, "replacement", &s->character, c->err));
    MICA_TRY(mica__metaspace_scheme(at, v, &s->prepend, c->err));
    MICA_TRY(mica__field_bool(at, v, "split", &split, c->err));
    if (!split) return MICA_OK;
    uint32_t mark = s->character;
    MICA_TRY(add_step(c, &mica__split_chars, &s));
    s->character = mark;
    s->behavior = MICA__MERGED_WITH_NEXT;
    return MICA_OK;
}

static mica_status parse_fixed_length(context *c, const mica__at *at, mica__jval v)
{
    int64_t length = 5;
    MICA_TRY(mica__field_int(at, v, "length", 1, INT32_MAX, &length, c->err));
    mica__split_step *s = NULL;
    MICA_TRY(add_step(c, &mica__split_fixed, &s));
    s->length = (size_t)length;
    return MICA_OK;
}

/* Scripts that make runs of their own, besides Common, and Han with the kana. */
static const char script_names[] =
    "Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki "
    "Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee "
    "Chorasmian Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan "
    "Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati "
    "Gunjala_Gondi Gurmukhi Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Imperial_Aramaic Inherited "
    "Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Kayah_Li Kharoshthi "
    "Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian "
    "Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek "
    "Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean "
    "Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian Old_Italic "
    "Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage "
    "Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan "
    "Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese "
    "Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangsa Tangut Telugu Thaana "
    "Thai Tibetan Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square";

/* An expression for "a run of one script": S[S any]* for every script, where a space and unassigned characters go with any
 * script and the kana and their length mark count as Han. */
static mica_status parse_unicode_scripts(context *c, const mica__at *at, mica__jval v)
{
    (void)at;
    (void)v;
    static const char any[] = " \\p{Unknown}";
    mica__split_step *s = NULL;
    MICA_TRY(add_step(c, &mica__split_scripts, &s));
    mica__buf text = {0};
    mica__buf_printf(&text, "[\\p{Common}&&[^ \\u30fc]][[\\p{Common}&&[^\\u30fc]]%s]*", any);
    mica__buf_printf(&text,
                     "|[\\p{Han}\\p{Hiragana}\\p{Katakana}\\u30fc][\\p{Han}\\p{Hiragana}\\p{Katakana}\\u30fc%s]*", any);
    for (const char *p = script_names; *p;) {
        int n = (int)strcspn(p, " ");
        mica__buf_printf(&text, "|\\p{%.*s}[\\p{%.*s}%s]*", n, p, n, p, any);
        p += p[n] ? n + 1 : n;
    }
    mica_status status = mica__buf_status(&text, c->err, "a pre-tokenizer");
    if (status == MICA_OK) status = mica__pattern_from_regex(&s->pattern, mica__buf_str(&text), c->err);
    mica__buf_release(&text);
    return status;
}

static const struct {
    const char *type;
    mica_status (*parse)(context *c, const mica__at *at, mica__jval v);
} types[] = {
    {"Sequence", parse_sequence},
    {"ByteLevel", parse_byte_level},
    {"Split", parse_split},
    {"Metaspace", parse_metaspace},
    {"BertPreTokenizer", parse_bert},
    {"Whitespace", parse_whitespace},
    {"WhitespaceSplit", parse_whitespace_split},
    {"Digits", parse_digits},
    {"Punctuation", parse_punctuation},
    {"CharDelimiterSplit", parse_char_delimiter},
    {"UnicodeScripts", parse_unicode_scripts},
    {"FixedLength", parse_fixed_length},
};

static mica_status parse(context *c, const mica__at *at, mica__jval v)
{
    mica__str type;
    MICA_TRY(mica__need_string(at, v, "type", &type, c->err));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (mica__str_is(type, types[i].type)) return types[i].parse(c, at, v);
    return mica__fail_at(c->err, at, "unknown pre-tokenizer type '%s'", MICA_QUOTED_STR(type));
}

mica_status mica__splitter_parse(mica__splitter *out, mica__arena *arena, const mica__at *at, mica__jval v,
                                 mica_error *err)
{
    *out = (mica__splitter){0};
    context c = {out, arena, err};
    if (mica__json_type(v) == MICA__JSON_NULL) return MICA_OK;
    MICA_TRY(parse(&c, at, v));
    out->byte_level = out->n && out->steps[out->n - 1].kind == &mica__split_byte_level;
    if (out->byte_level) out->n--;
    return MICA_OK;
}

void mica__splitter_release(mica__splitter *s)
{
    for (size_t i = 0; i < s->n; i++) mica__pattern_release(&s->steps[i].pattern);
    mica__free(s->steps);
    *s = (mica__splitter){0};
}
