/* text/regex_sets.c: names of properties in Oniguruma, and how PCRE2 writes the same set.
 *
 * Names of scripts need care: PCRE2's plain \p{Han} means the script extensions, Oniguruma's the script. */
#include "text/regex_sets.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>

/* In lower case without separators. `negated`: the set is everything else. */
static const struct {
    const char *name, *inside;
    bool negated;
} properties[] = {
    {"alnum", "\\p{Alphabetic}\\p{Nd}", false},
    {"alpha", "\\p{Alphabetic}", false},
    {"any", "\\x{0}-\\x{10ffff}", false},
    {"ascii", "\\x00-\\x7f", false},
    {"assigned", "\\P{Cn}", false},
    {"blank", "\\p{Zs}\\x09", false},
    {"cntrl", "\\p{Cc}", false},
    {"graph", "\\p{Cc}\\p{Cs}\\p{Cn}" MICA__SPACE_SET, true},
    {"print", "\\p{Cc}\\p{Cs}\\p{Cn}\\x{2028}\\x{2029}", true},
    {"digit", "\\p{Nd}", false},
    {"lower", "\\p{Lowercase}", false},
    {"punct", "\\p{P}", false},
    {"space", MICA__SPACE_SET, false},
    {"whitespace", MICA__SPACE_SET, false},
    {"upper", "\\p{Uppercase}", false},
    {"word", MICA__WORD_SET, false},
    {"xdigit", "0-9A-Fa-f", false},
    {"letter", "\\p{L}", false},
    {"casedletter", "\\p{L&}", false},
    {"lc", "\\p{L&}", false},
    {"uppercaseletter", "\\p{Lu}", false},
    {"lowercaseletter", "\\p{Ll}", false},
    {"titlecaseletter", "\\p{Lt}", false},
    {"modifierletter", "\\p{Lm}", false},
    {"otherletter", "\\p{Lo}", false},
    {"mark", "\\p{M}", false},
    {"combiningmark", "\\p{M}", false},
    {"nonspacingmark", "\\p{Mn}", false},
    {"spacingmark", "\\p{Mc}", false},
    {"enclosingmark", "\\p{Me}", false},
    {"number", "\\p{N}", false},
    {"decimalnumber", "\\p{Nd}", false},
    {"letternumber", "\\p{Nl}", false},
    {"othernumber", "\\p{No}", false},
    {"punctuation", "\\p{P}", false},
    {"connectorpunctuation", "\\p{Pc}", false},
    {"dashpunctuation", "\\p{Pd}", false},
    {"openpunctuation", "\\p{Ps}", false},
    {"closepunctuation", "\\p{Pe}", false},
    {"initialpunctuation", "\\p{Pi}", false},
    {"finalpunctuation", "\\p{Pf}", false},
    {"otherpunctuation", "\\p{Po}", false},
    {"symbol", "\\p{S}", false},
    {"mathsymbol", "\\p{Sm}", false},
    {"currencysymbol", "\\p{Sc}", false},
    {"modifiersymbol", "\\p{Sk}", false},
    {"othersymbol", "\\p{So}", false},
    {"separator", "\\p{Z}", false},
    {"spaceseparator", "\\p{Zs}", false},
    {"lineseparator", "\\p{Zl}", false},
    {"paragraphseparator", "\\p{Zp}", false},
    {"other", "\\p{C}", false},
    {"control", "\\p{Cc}", false},
    {"format", "\\p{Cf}", false},
    {"unassigned", "\\p{Cn}", false},
    {"privateuse", "\\p{Co}", false},
    {"surrogate", "\\p{Cs}", false},
};

static const char general_categories[] = " l lu ll lt lm lo m mn mc me n nd nl no p pc pd ps pe pi pf po s sm sc sk so "
                                         "z zs zl zp c cc cf cn co cs ";

void mica__set_release(mica__set *s)
{
    mica__buf_release(&s->inside);
    mica__buf_release(&s->others);
}

void mica__set_add(mica__set *s, const char *inside, bool negated)
{
    if (negated)
        mica__buf_printf(&s->others, "|[^%s]", inside);
    else
        mica__buf_append_z(&s->inside, inside);
}

/* Does PCRE2 know \p{text}? */
static bool pcre_knows(const char *text)
{
    char pattern[96];
    snprintf(pattern, sizeof pattern, "\\p{%s}", text);
    int code;
    PCRE2_SIZE offset;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &offset, NULL);
    pcre2_code_free(re);
    return re != NULL;
}

static bool add_named(mica__set *s, const char *name, bool negated)
{
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++)
        if (strcmp(properties[i].name, name) == 0) {
            mica__set_add(s, properties[i].inside, negated != properties[i].negated);
            return true;
        }
    return false;
}

bool mica__set_add_property(mica__set *s, mica__str written, bool negated)
{
    char name[64], text[80];
    size_t n = 0;
    for (size_t i = 0; i < written.n; i++) {
        char c = written.p[i];
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        if (c == ' ' || c == '_' || c == '-') continue;
        if (n + 1 >= sizeof name || !(letter || (c >= '0' && c <= '9'))) return false;
        name[n++] = letter ? (char)(c | 32) : c;
    }
    name[n] = 0;
    if (!n) return false;
    if (add_named(s, name, negated)) return true;
    snprintf(text, sizeof text, " %s ", name);
    if (n <= 2 && strstr(general_categories, text)) {
        name[0] = (char)(name[0] - 32);
        snprintf(text, sizeof text, "\\p{%s}", name);
        mica__set_add(s, text, negated);
        return true;
    }
    char spelled[72];
    snprintf(spelled, sizeof spelled, "sc:%s", name);
    if (!pcre_knows(spelled)) snprintf(spelled, sizeof spelled, "%s", name);
    if (!pcre_knows(spelled)) return false;
    snprintf(text, sizeof text, "\\p{%s}", spelled);
    mica__set_add(s, text, negated);
    return true;
}

bool mica__set_add_posix(mica__set *s, mica__str name, bool negated)
{
    static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph",
                                        "lower", "print", "punct", "space", "upper", "word",  "xdigit"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!mica__str_is(name, names[i])) continue;
        if (strcmp(names[i], "punct") != 0) return add_named(s, names[i], negated);
        mica__set_add(s, "\\p{P}\\p{S}", negated); /* [:punct:] has the symbols, \p{Punct} has not */
        return true;
    }
    return false;
}

void mica__set_write(mica__buf *out, const mica__set *s)
{
    mica__str others = mica__buf_str(&s->others);
    bool single = others.n && !s->inside.n && !memchr(others.p + 1, '|', others.n - 1);
    if (others.n && !single) mica__buf_append_z(out, "(?:");
    if (s->inside.n || !others.n) {
        mica__buf_append_char(out, '[');
        mica__buf_append_str(out, mica__buf_str(&s->inside));
        mica__buf_append_char(out, ']');
    } else {
        others = (mica__str){others.p + 1, others.n - 1};
    }
    mica__buf_append_str(out, others);
    if (s->others.n && !single) mica__buf_append_char(out, ')');
}
