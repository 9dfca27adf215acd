/* cli/verbs.h: one function per verb; argv[0] is the verb, the result the exit code. */
#ifndef MICA_CLI_VERBS_H
#define MICA_CLI_VERBS_H

int cmd_bench(int argc, char **argv);
int cmd_cache(int argc, char **argv);
int cmd_chat(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_detokenize(int argc, char **argv);
int cmd_download(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_logits(int argc, char **argv);
int cmd_perplexity(int argc, char **argv);
int cmd_template(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_upload(int argc, char **argv);

#endif
