/* models/registry.c: the list of architectures. A new one adds its two lines here. */
#include "registry.h"

extern const mica__arch mica__arch_llama, mica__arch_mistral, mica__arch_ministral3, mica__arch_qwen2, mica__arch_qwen3,
    mica__arch_gemma, mica__arch_gemma2, mica__arch_gemma3;

static const mica__arch *const archs[] = {
    &mica__arch_llama, &mica__arch_mistral, &mica__arch_ministral3, &mica__arch_qwen2,
    &mica__arch_qwen3, &mica__arch_gemma,   &mica__arch_gemma2,     &mica__arch_gemma3,
};

const mica__arch *mica__arch_at(size_t i) { return i < sizeof archs / sizeof *archs ? archs[i] : NULL; }

static bool among(const char *const *names, mica__str name)
{
    for (; names && *names; names++) {
        if (mica__str_is(name, *names)) return true;
    }
    return false;
}

static void list_known(mica__buf *out)
{
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        for (const char *const *name = archs[i]->model_types; *name; name++) {
            mica__buf_printf(out, "%s%s", out->n ? ", " : "", *name);
        }
    }
}

mica_status mica__arch_find(const mica__arch **out, const mica__config *c, mica_error *err)
{
    if (c->model_type.n == 0 && c->wrapper_type.n == 0) {
        return mica__fail(err, MICA_DATA, "config.json: model_type is missing");
    }
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        bool found = c->model_type.n ? among(archs[i]->model_types, c->model_type)
                                     : among(archs[i]->wrapper_types, c->wrapper_type);
        if (!found) continue;
        *out = archs[i];
        return MICA_OK;
    }
    mica__str name = c->model_type.n ? c->model_type : c->wrapper_type;
    mica__buf known = {.max = 4096};
    list_known(&known);
    mica_status status =
        mica__fail(err, MICA_UNSUPPORTED, "config.json: model_type '%s' is not supported (known: %.300s)",
                   MICA_QUOTED_STR(name), known.p ? known.p : "");
    mica__buf_release(&known);
    return status;
}

mica_status mica__describe(mica__decoder_spec *s, mica__config *c, mica_error *err)
{
    const mica__arch *arch;
    MICA_TRY(mica__arch_find(&arch, c, err));
    arch->describe(c, s);
    mica__decoder_finish(s, c);
    return mica__config_status(c, err);
}
