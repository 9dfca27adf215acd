/* base/card.c: see card.h. */
#include "card.h"

void mica__card_open(mica__buf *out, bool mlx, mica__str base_model, bool quantized)
{
    mica__buf_printf(out, "---\nlibrary_name: %s\npipeline_tag: text-generation\n", mlx ? "mlx" : "transformers");
    if (!base_model.n) return;
    mica__buf_append_z(out, "base_model: ");
    mica__buf_append_str(out, base_model);
    mica__buf_append_z(out, quantized ? "\nbase_model_relation: quantized\n" : "\n");
}

void mica__card_title(mica__buf *out, bool mlx, const char *name)
{
    if (mlx) mica__buf_append_z(out, "tags:\n- mlx\n");
    mica__buf_printf(out, "---\n\n# %s\n\n", name);
}

void mica__card_usage(mica__buf *out, bool mlx, const char *name)
{
    mica__buf_printf(out, "\n```sh\nmica chat -m %s\n```\n", name);
    if (mlx)
        mica__buf_printf(
            out, "\n```python\nfrom mlx_lm import generate, load\n\nmodel, tokenizer = load(\"%s\")\n```\n", name);
}
