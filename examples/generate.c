/* Continues a text, with settings:  generate FOLDER_OR_GGUF PROMPT [SETTINGS]
 *
 *     generate model "Once upon a time" '{"max_new_tokens": 40, "do_sample": true, "temperature": 0.8, "seed": 1}' */
#include <mica/mica.h>
#include <stdio.h>
#include <string.h>

static int print(void *context, int32_t id, const char *text, size_t n, const float *scores)
{
    (void)context, (void)id, (void)scores;
    fwrite(text, 1, n, stdout);
    return fflush(stdout);
}

static mica_status run(const char *path, const char *prompt, const char *settings, mica_error *err)
{
    mica_model *model = NULL;
    mica_session *session = NULL;
    mica_generation_config *config = NULL;
    mica_generate_result result = {0};
    mica_ids ids = {0};
    const mica_tokenizer *tokenizer;
    mica_status status;

    if ((status = mica_model_load(&model, path, NULL, err))) goto done;
    if ((status = mica_model_tokenizer(model, &tokenizer, err))) goto done;
    if ((status = mica_tokenizer_encode(tokenizer, prompt, strlen(prompt), MICA_ADD_SPECIAL_TOKENS, &ids, err)))
        goto done;
    if ((status = mica_generation_config_create(&config, model, err))) goto done;
    if ((status = mica_generation_config_update(config, settings, strlen(settings), err))) goto done;
    if ((status = mica_session_create(&session, model, NULL, err))) goto done;
    if ((status = mica_generate(session, ids.data, ids.n, config, print, NULL, &result, err))) goto done;
    fprintf(stderr, "\n%zu tokens, %.1f tokens/s\n", result.ids.n,
            (double)result.ids.n / (result.prompt_seconds + result.decode_seconds));
done:
    mica_ids_release(&result.ids);
    mica_ids_release(&ids);
    mica_session_free(session);
    mica_generation_config_free(config);
    mica_model_free(model);
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s FOLDER_OR_GGUF PROMPT [SETTINGS]\n", argv[0]);
        return 64;
    }
    mica_error err = {0};
    mica_status status = run(argv[1], argv[2], argc > 3 ? argv[3] : "{\"max_new_tokens\": 64}", &err);
    if (status) fprintf(stderr, "%s\n", err.message);
    return mica_status_exit_code(status);
}
