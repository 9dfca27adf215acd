/* A conversation in about fifteen lines:  chat FOLDER_OR_GGUF  (end with Ctrl-D) */
#include <mica/mica.h>
#include <stdio.h>
#include <string.h>

static int print(void *context, const char *text, size_t n)
{
    (void)context;
    fwrite(text, 1, n, stdout);
    return fflush(stdout);
}

int main(int argc, char **argv)
{
    mica_model *model = NULL;
    mica_chat *chat = NULL;
    mica_error err = {0};
    char line[4096];
    mica_status status = mica_model_load(&model, argc > 1 ? argv[1] : ".", NULL, &err);
    if (!status) status = mica_chat_create(&chat, model, NULL, &err);
    while (!status && fputs("\n> ", stdout) >= 0 && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        status = mica_chat_send(chat, line, print, NULL, &err);
    }
    if (status) fprintf(stderr, "%s\n", err.message);
    mica_chat_free(chat);
    mica_model_free(model);
    return mica_status_exit_code(status);
}
