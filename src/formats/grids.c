/* formats/grids.c: the vectors that GGUF's IQ1, IQ2 and IQ3 types choose from.
 *
 * They are part of the format: chosen by experiment, no formula gives them. But each list is sorted, its vectors taken from all combinations of
 * a few values (of most, only those with an even sum of value numbers), so that it is enough to say of each combination, in that order, whether
 * it is in the list. Those bits are below in base64, first bit lowest. The lists are made by the first call. */
#include "grids.h"

#include <pthread.h>
#include <stdbool.h>

enum { MOST_ROWS = 2048, MOST_LENGTH = 8 };

/* clang-format off */
static const struct grid {
    int n_rows, length, n_values;
    int8_t values[8];
    bool even; /* only combinations whose value numbers have an even sum are counted */
    const char *members;
} grids[] = {
    [MICA__GRID_IQ2XXS] =
        {256, 8, 3, {8, 25, 43}, true,
     "f/akmSCmQAAgCAYIACAATJgFYYIsCAQwBMAAAYAAaYJmAAIgAAIAACAEAAAAYEIECFIgQYAIAQAAIQAAQIKCAAIAQABAAIBAAAAAABMgAAgABQ"
     "AAABAAAAgAACYAATEAAEAEAAAMAAAAAJgAgQAACAACCAAAAAAACIAgAAAgAAAAAAAAABAAAMCkSRQmQIAAIAqACIAIAYAEAQAEBCAEAAAAAQAA"
     "AAAmQAEAAAIAQCEAAAACAAKkDAAgARAAAgAAAQAAAAgAAAAAGAABAAAAIAAAAQAgJAAgAAAACAAAAAIAAAAACRAAAYAAAAgAAIAAQAAABQAAAA"
     "BgAAAgAAAAAAAAAAABAAAAAAAAAAAAAAAAmAACgAAgCAIAAAACAAAAYAoECAAgACAAQAACCBAAgAAAAAAAAQAAAAAQAAAAABIkAAAQgAAACAAA"
     "AAEAAAIIAQAAAAAQAAAAAAAAAAAAAEAAABAAAAAAAAAAACAAQAACAAEAAAAgAAAAAAAgAAAAAAAAAAAAAAAAAAAAAAIAAAIAAAAAAAAAAAAA"},
    [MICA__GRID_IQ2XS] =
        {512, 8, 3, {8, 25, 43}, true,
     "/9+/eRv+z5s0Ad6EKRAB/Jt3YQK8CRMiAJhAA4AA+FMmQYA4AQKABBAgAQBA4d+8iRPgTZgAwcAFCBAAwJuwQQKACRAAAIAgAAEAADMgCCAABQ"
     "AAAgAAAAgAAP+ECRAgTIAEBAAEEAAgAJqAAQAACABCAEAQEAAAAJQhAAEEAgAAQBAAQQAAGsC/+VMmwJswAQqIGRgAAIC3YQIEARMkAAAIEYAE"
     "AAAmQBEBAEIACQgACAAAAAC8SRMgAJgCAwAACAAEAAA4IQKEAJEAAIAEAEAAQAAiCIgAAAFAGAAAAAAAAAiACRBEEMAAAAAAAAAEAgABgQAAAA"
     "AgQAEAQAAAAAAABAAAEAAAIAAAACAAQAQAeBMnwAB8AUICABAgAIABaQ4ECAggABAAAAggAAABQAICEAYgAgAAAAAAAgAkQhMgEBAAAQQAAQAA"
     "ACCAAAoASQAAAEAAAAYAAAEAAAAAIAAAAgAQAAAABAAEALAhAgAAAQCABABoAQQAAQIACACAAAAAAAAAAACAAAIICwAASAIAADAAADAAAAEB"},
    [MICA__GRID_IQ2S] =
        {1024, 8, 3, {8, 25, 43}, true,
     "/9+/f1P/zfs2Z97EL1BF/Pv/59v8b//mTfgCbcIEeF//TRE4L9qECBBGQwCA4N+9f9fm//s3b8CWKQMmwPv2b96Ef/MmTIA2YQIEgN/iTRgAb8"
     "IEBCAkQCAAAN7XORIFzokzYQJE0BIAA/o2b8IEaBMmUAAwAQICAFAGTAAIcAIAAEAAggAgGMD/+3+mzfvzb96EedImDID/79+8Cf/mTZwAb8IE"
     "CED2zZsgAd6ECRAITIAAAAC8f//mDfg3b8IEaBMmYADwb96ECfAmTIAAYAIFAADgTZgIAcAECAAAQEAAAAige9MmSIA3YQIEBBIgEAAQbcIECA"
     "AmQAQEAgIAAAAETAAABBAEgAAAAAAAAgCAeFvmRRmwb96ACVgHTAAA4F+8CRPgTZgAEcAEDAAAQBkwAQCIARCAAAAAAjAIEPvkTZgAZcBEAAAm"
     "QAAAgN6ECRAITIAAAFAEAAQEAJhAAQAADABQAAAAAAAACFBFTgAAEgAEIABAggYAGtAECAAQSEAAAAAAAAACAAAICAAAEAAACCAAGBYAQAAB"},
    [MICA__GRID_IQ1S] =
        {2048, 8, 3, {-1, 0, 1}, false,
     "VSUUhaACQlEIRTGohiCKohoIKiAUhVAUgiBERSUVBaACgiCIGAAIgqADKqCIu6oKkKoLACIACqqMgqAIQFEIRSGIgFAUQlEIijAImKAIgCoIRS"
     "EUhSBIQlUIRQEswqAgiiYAKiSoqqII4q8ICCgoAKACQiiqKCCogCAKmwi5uqggyq6Joq6qOnzr6rq7gg64IrrK0w6SAiIAIiCoiroKggIIACpK"
     "4KI7IiArogCBQIGqiigIIgEUhVAVgiAJRSFUhaAIAiOoOiCEgiBUQlEIoiAIlVAUAioIuKiCgKBIAiAIgqJoogIoqyoIhSAIgjAIRUAARSEUha"
     "AAQlEARQEpggCKgioIoTAUBVAUgigIRSEUhSACAiCqKgAgErGKriiouqGqqHAAggoIAigiAoQAggBIgKDqsCqqwiCLuiLq2qeLi26okrAqqnKL"
     "ikQMKiBIhEAoiioIqiDIzKIioq+aoOioAgACACqoiAAggKCLoqIouqCAgjIKur64uv7roqArogiKCijqogChMgIM+qTq3u8rqC6Nvn7r+vd/v+"
     "Z9ut5p+yf/vyb6EunhiiIQqr4OhKoIsqgLgq7/uiTpg4AEYixo8qgKpCsAAioICOKqEgACgioKpiDJgomQgigAogCMgBMAgggIAGyKqqq7Aqa+"
     "iqDKAoBrly7QsukQghAuqt4oFdGlBAAKggCKgiAIAaEggqo5uiIyhKAJgBgAiqJiAoEURFEARSGsglAUQlEIqiAoqocKEioIRSEUBaAIQlEIRQ"
     "EgAqBAoiIAiAAIoghqim64qqqAACAKguLIIiEIRFAUQlEJiiAVhVAUhgoIqioqgAAKQlEIRSGoAFAUQlEI4iCIggoYgioIqqKqirCLAgoqqiAo"
     "goCqCigIKACpiAIioL4LKLgIirpLsq7/uqT4rqogUihotqAw5oAKAigIImpigCAKAqqqK6rqoqmgoggIECCgiiIAgg4ARSEUhaAKQFEIRSGpBg"
     "BKqgIIpQAQDUQUgigIRSEUBQAIgoKs8iAAAACqCigKuiDqogIAgkgJKOkUABFLRVEARQGoAlAUQlEIiCQIiCgKQAgARQEUBaACQFEIRQE="},
    [MICA__GRID_IQ3XXS] =
        {256, 4, 8, {4, 12, 20, 28, 36, 44, 52, 62}, true,
     "txMCYDM1QRAXs5BAOQQAECCAhGAJICAAAEAABNAAAgEzcxgAEwMAADMRACADEQgIBQAQAAAFCBAEAAAAAAIBADMbAgA3EQAak4NBAFEAAFAAQC"
     "AAAggBQAAAAACDAAQAMQMQJAMRDAATBCAgECAAAAAQCCAJAkAAQIAAAgAgAAGEwKAAAAAAQACBAQkIAAQABAAQBAAEAhAAAAAANBAAACAAARAJ"
     "CEAAQCAAIAIAIAAQCgAgAhAAAAAAEAAABAIAAAQMBAABAAGAAAAEAJAAAAAABAAEACAAACAAAAIBAAAeICAAAAgBACAAJABBIAABAAEBAAMEAA"
     "AAEAAAAAAAAA=="},
    [MICA__GRID_IQ3S] =
        {512, 4, 8, {1, 3, 5, 7, 9, 11, 13, 15}, false,
     "p1cjCKUKBZIXI4kiEAAiBKNJIhGkCgAJCCIFShAFgCIBiBIECQIAARQARQiiAEAIQAoAAgAEAAIVAEUIABEAABerBVIAUAIESxECCQIFAEEBpB"
     "EECSABBJIJghECAAQBKBQACkQRAAACCQIFAAIAAAAAkQBQAAAACgUCIAIABAGrVYoFKgWAKQWJJBIEAgAAkgAKgQKIABIlAhQKBAFAAIIACSQC"
     "AAAkEAIEgAEIAAGFAAIAACACACACQAEIAQAABKoEKpQCCAIqEAoAAQABRAEEARQAAQAAAhGKAYogAAgIQgQCAAQRAAIFIAQQQAAIAEAAAAIAAA"
     "AKAAUgAAAAABEEkQQCAQABhAoEIQgiAAAKIQIIAYAEARAKBSIAAAAABQAQgAEAAAKgAAIAAAAEAAAIABAAAAEAACEAAQgCAAAEEQQAkQRAECoE"
     "AgQAAAAEAQIIQQAIAACEAYAAEAIgCBIAAQRAAAAAAARAAAAKAAAAAAAABAAAABQABAAAAAAAACoACgAAAQABAIEAAAAQAAAEABAEIAQBARACAA"
     "EAAAAAACAACAAEAAkAABAAAAEAIAAAAAEAAAAACgAAAAAAAJEABUABEAQABAIQACgAAAASQQIBAAIAAAQAACQACAAAIggBAAABAAAAAAQABAAA"
     "AAQAAAIAAAAAAQAAAAAAAAA="},
};
/* clang-format on */

static int8_t rows[sizeof grids / sizeof *grids][MOST_ROWS * MOST_LENGTH];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static unsigned digit_of(char c)
{
    if (c >= 'A' && c <= 'Z') return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z') return (unsigned)(c - 'a') + 26;
    if (c >= '0' && c <= '9') return (unsigned)(c - '0') + 52;
    return c == '+' ? 62 : 63;
}

/* Four characters are three bytes, the first character highest. */
static bool is_member(const char *members, int bit)
{
    const char *four = members + bit / 24 * 4;
    unsigned bytes = 0;
    for (int i = 0; i < 4; i++) bytes = bytes << 6 | (four[i] == '=' ? 0 : digit_of(four[i]));
    return bytes >> (16 - bit % 24 / 8 * 8 + bit % 8) & 1;
}

static void make_grid(const struct grid *g, int8_t *row)
{
    int n_combinations = 1, candidate = 0;
    for (int i = 0; i < g->length; i++) n_combinations *= g->n_values;
    for (int c = 0; c < n_combinations; c++) {
        int sum = 0;
        for (int i = 0, rest = c; i < g->length; i++, rest /= g->n_values) sum += rest % g->n_values;
        if (g->even && sum % 2) continue;
        if (!is_member(g->members, candidate++)) continue;
        for (int i = 0, rest = c; i < g->length; i++, rest /= g->n_values) *row++ = g->values[rest % g->n_values];
    }
}

static void make_grids(void)
{
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++) make_grid(&grids[i], rows[i]);
}

const int8_t *mica__grid(mica__grid_name name)
{
    pthread_once(&once, make_grids);
    return rows[name];
}
