/* hub/explain.c: statuses and X-Error-Codes of the Hub, put into words. */
#include "explain.h"

#include <strings.h>

static bool code_is(const mica__reply *r, const char *code) { return strcasecmp(r->error_code, code) == 0; }

static mica_status gated(const mica__net *net, const mica__subject *s, mica_error *err)
{
    const char *server = net->settings->endpoint;
    if (!net->settings->token)
        return mica__fail(
            err, MICA_ACCESS,
            "%s is gated: accept its conditions at %s/%s, then set HF_TOKEN to a token from %s/settings/tokens", s->id,
            server, s->id, server);
    return mica__fail(err, MICA_ACCESS, "%s is gated: ask for access at %s/%s with the account of this token", s->id,
                      server, s->id);
}

static mica_status missing(const mica__net *net, const mica__subject *s, mica_error *err)
{
    const char *server = net->settings->endpoint;
    if (!net->settings->token)
        return mica__fail(
            err, MICA_NOT_FOUND,
            "%s: no such repository at %s, or it is private: then set HF_TOKEN to a token that may read it", s->id,
            server);
    return mica__fail(err, MICA_NOT_FOUND, "%s: no such repository at %s that this token may read", s->id, server);
}

static mica_status wrong_token(const mica__net *net, mica_error *err)
{
    return mica__fail(err, MICA_ACCESS,
                      "%s does not know this token (HF_TOKEN, or the token file): make a new one at %s/settings/tokens",
                      net->settings->endpoint, net->settings->endpoint);
}

static mica_status not_allowed(const mica__net *net, const mica__subject *s, const char *words, mica_error *err)
{
    if (!net->settings->token)
        return mica__fail(err, MICA_ACCESS, "%s: writing needs a token: set HF_TOKEN to one from %s/settings/tokens",
                          s->id, net->settings->endpoint);
    return mica__fail(err, MICA_ACCESS, "%s: this token may not %s it%s%s", s->id, s->writing ? "write to" : "read",
                      words[0] ? ": " : "", words);
}

mica_status mica__hub_explain(const mica__net *net, const mica__subject *s, const mica__reply *reply,
                              const mica__buf *text, mica_error *err)
{
    mica__quoted buffer;
    const char *words = mica__http_words(net, reply, text, &buffer);
    const bool refused = reply->status == 401 || reply->status == 403;
    if (code_is(reply, "GatedRepo")) return gated(net, s, err);
    if (refused && strstr(words, "Invalid credentials")) return wrong_token(net, err);
    if (code_is(reply, "RevisionNotFound"))
        return mica__fail(err, MICA_NOT_FOUND, "%s has no revision '%s': %s/%s/tree/main shows its branches and tags",
                          s->id, MICA_QUOTED(s->revision, strlen(s->revision)), net->settings->endpoint, s->id);
    if (s->file && (code_is(reply, "EntryNotFound") || (reply->status == 404 && !code_is(reply, "RepoNotFound"))))
        return mica__fail(err, MICA_NOT_FOUND, "%s has no file '%s' at this revision", s->id,
                          MICA_QUOTED(s->file, strlen(s->file)));
    if (s->writing && refused) return not_allowed(net, s, words, err);
    if (code_is(reply, "RepoNotFound") || reply->status == 401 || reply->status == 404) return missing(net, s, err);
    if (refused) return not_allowed(net, s, words, err);
    const mica_status status = s->writing && reply->status >= 400 && reply->status < 500 && reply->status != 429
                                   ? MICA_ACCESS
                                   : MICA_UNAVAILABLE;
    return mica__fail(err, status, "%s%s%s: %s answers with status %d%s%s%s", s->id, s->file ? ": " : "",
                      s->file ? MICA_QUOTED(s->file, strlen(s->file)) : "", net->settings->endpoint, reply->status,
                      words[0] ? " (" : "", words,
                      words[0]               ? ")"
                      : reply->status == 429 ? ": too many requests"
                                             : "");
}
