/* hub/card.c: what a folder says of itself, put into the few lines that the Hub understands. */
#include "card.h"
#include "base/card.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <mica/hub.h>
#include <unistd.h>

enum { MAX_CONFIG = 4 << 20, MAX_HEADER = 16 << 20 };

/* Does the file's header say that MLX wrote it? */
static bool is_mlx_file(const char *path)
{
    unsigned char length[8];
    uint64_t n = 0;
    bool is = false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return false;
    if (read(fd, length, sizeof length) == sizeof length)
        for (int i = 7; i >= 0; i--) n = n << 8 | length[i];
    char *header = n && n <= MAX_HEADER ? mica__alloc((size_t)n, 1) : NULL;
    mica__json doc;
    if (header && pread(fd, header, (size_t)n, 8) == (ssize_t)n &&
        mica__json_parse(&doc, header, (size_t)n, NULL, NULL) == MICA_OK) {
        mica__str format = {0};
        mica__json_string(mica__json_get(mica__json_get(mica__json_root(&doc), "__metadata__"), "format"), &format);
        is = mica__str_is(format, "mlx");
        mica__json_release(&doc);
    }
    mica__free(header);
    close(fd);
    return is;
}

static bool has_mlx_weights(const char *folder)
{
    DIR *d = opendir(folder);
    bool has = false;
    for (struct dirent *e; d && !has && (e = readdir(d));) {
        if (strncmp(e->d_name, "model", 5) != 0 || !mica__str_ends(mica__str_from(e->d_name), ".safetensors")) continue;
        char *path = mica__path_join(folder, e->d_name);
        has = path && is_mlx_file(path);
        mica__free(path);
    }
    if (d) closedir(d);
    return has;
}

static void write_card(mica__buf *out, const char *id, const char *base_model, bool mlx, int64_t bits)
{
    const char *format = mlx ? "MLX's" : "Transformers'";
    mica__card_open(out, mlx, mica__str_from(base_model ? base_model : ""), bits > 0);
    mica__card_title(out, mlx, id);
    if (base_model)
        mica__buf_printf(out, "[%s](https://huggingface.co/%s) in %s format", base_model, base_model, format);
    else
        mica__buf_printf(out, "A checkpoint in %s format", format);
    if (bits) mica__buf_printf(out, ", quantized to %d bits", (int)bits);
    mica__buf_append_z(out, ". Uploaded with mica.\n");
    mica__card_usage(out, mlx, id);
}

bool mica__card_write(mica__buf *out, const char *folder, const char *id, const char *base_model)
{
    mica__json doc;
    mica__buf text = {0};
    char *path = mica__path_join(folder, "config.json"), name[256] = "";
    bool is_model = path && mica__file_read(&text, path, MAX_CONFIG, NULL) == MICA_OK &&
                    mica__json_parse(&doc, text.p, text.n, NULL, NULL) == MICA_OK;
    if (is_model) {
        const mica__jval root = mica__json_root(&doc), quantization = mica__json_get(root, "quantization");
        mica__str from = {0}, kind = {0};
        int64_t bits = 0;
        is_model = mica__json_string(mica__json_get(root, "model_type"), &kind);
        mica__json_int(mica__json_get(quantization, "bits"), &bits);
        mica__json_string(mica__json_get(root, "_name_or_path"), &from);
        if (!base_model && from.n < sizeof name && memchr(from.p ? from.p : "", '/', from.n)) {
            memcpy(name, from.p, from.n);
            name[from.n] = 0;
            base_model = name;
        }
        if (base_model && (!mica_hub_is_id(base_model) || strcmp(base_model, id) == 0)) base_model = NULL;
        if (is_model)
            write_card(out, id, base_model, quantization || has_mlx_weights(folder), bits > 0 && bits <= 16 ? bits : 0);
        mica__json_release(&doc);
    }
    mica__buf_release(&text);
    mica__free(path);
    return is_model && !out->failed;
}
