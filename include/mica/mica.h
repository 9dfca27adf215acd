/* mica/mica.h: everything. Start with mica/chat.h (a conversation), mica/generate.h (tokens), mica/array.h (arithmetic). */
#ifndef MICA_MICA_H
#define MICA_MICA_H

#include "array.h"
#include "chat.h"
#include "chat_template.h"
#include "checkpoint.h"
#include "error.h"
#include "generate.h"
#include "hub.h"
#include "memory.h"
#include "model.h"
#include "perplexity.h"
#include "progress.h"
#include "save.h"
#include "tokenizer.h"
#include "version.h"

#endif
