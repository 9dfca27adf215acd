/* models/save_card.c: README.md of a saved checkpoint.
 *
 * The Hub reads the lines between the two "---": library_name and the tag make it an MLX model. What the source's card says about licence and languages is
 * kept, since it still holds; what it says about itself is not. */
#include "base/card.h"
#include "save_texts.h"

#include <stdio.h>

enum { MAX_FRONT = 64 * 1024 };

/* The next line of *rest, without its end. */
static bool take_line(mica__str *rest, mica__str *line)
{
    if (!rest->n) return false;
    const char *end = memchr(rest->p, '\n', rest->n);
    size_t n = end ? (size_t)(end - rest->p) : rest->n, used = end ? n + 1 : n;
    *line = (mica__str){rest->p, n > 0 && rest->p[n - 1] == '\r' ? n - 1 : n};
    *rest = (mica__str){rest->p + used, rest->n - used};
    return true;
}

/* The lines between the first two "---" of a card; "" if it has none. */
static mica__str front_of(mica__str card)
{
    mica__str rest = card, line;
    if (!take_line(&rest, &line) || !mica__str_is(line, "---")) return (mica__str){0};
    const char *start = rest.p;
    while (take_line(&rest, &line)) {
        if (mica__str_is(line, "---"))
            return (mica__str){start, (size_t)(line.p - start) > MAX_FRONT ? 0 : (size_t)(line.p - start)};
    }
    return (mica__str){0};
}

/* "license" of "license: mit"; "" for a line that continues the field before. */
static mica__str field_of(mica__str line)
{
    size_t n = 0;
    while (n < line.n && line.p[n] != ':') n++;
    bool starts = line.n && line.p[0] != ' ' && line.p[0] != '\t' && line.p[0] != '-' && line.p[0] != '#' && n < line.n;
    return starts ? (mica__str){line.p, n} : (mica__str){0};
}

static void keep_fields(mica__buf *out, mica__str card)
{
    static const char *const kept[] = {"license", "license_name", "license_link", "language", "datasets"};
    mica__str rest = front_of(card), line;
    bool keep = false;
    while (take_line(&rest, &line)) {
        mica__str field = field_of(line);
        if (field.n) {
            keep = false;
            for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) keep |= mica__str_is(field, kept[i]);
        }
        if (!keep || !mica__utf8_valid(line.p, line.n)) continue;
        mica__buf_append_str(out, line);
        mica__buf_append_char(out, '\n');
    }
}

mica_status mica__save_card(mica__buf *out, const char *name, const char *base_model, mica__str source_card,
                            const mica__save_plan *plan, mica_save_format format, mica_error *err)
{
    bool mlx = format == MICA_SAVE_MLX;
    mica__buf quoted = {0};
    if (base_model) mica__json_write_string(&quoted, mica__str_from(base_model), false);
    out->failed |= quoted.failed;
    mica__card_open(out, mlx, (mica__str){quoted.p, quoted.n}, plan->general.bits > 0);
    mica__buf_release(&quoted);
    keep_fields(out, source_card);
    mica__card_title(out, mlx, name);
    if (base_model)
        mica__buf_printf(out, "[%s](https://huggingface.co/%s) in %s.\n", base_model, base_model,
                         mlx ? "MLX's format" : "the format of Transformers");
    else
        mica__buf_printf(out, "A checkpoint in %s.\n", mlx ? "MLX's format" : "the format of Transformers");
    const char *mostly = "";
    for (size_t i = 0; i < plan->n; i++)
        if (plan->entries[i].named) mostly = "mostly ";
    double bits = plan->n_parameters ? (double)plan->n_bytes * 8 / (double)plan->n_parameters : 0;
    if (plan->general.bits)
        mica__buf_printf(out, "Its matrices are quantized (%s%s); all tensors together take %.2f bits per weight.\n",
                         mostly, MICA_QUANTIZATION(&plan->general), bits);
    mica__buf_append_z(out, "Made with mica.\n");
    mica__card_usage(out, mlx, name);
    return mica__buf_status(out, err, "README.md");
}
