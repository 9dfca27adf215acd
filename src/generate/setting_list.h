/* generate/setting_list.h: every field of Transformers' GenerationConfig, once. Included for its rows, with MICA__SETTING_ENUM or
 * MICA__SETTING_ROW defined; no include guard.
 *
 * name, kind, library default, shape of a value, effect, help */
#ifdef MICA__SETTING_ENUM
#define X(name, kind, fallback, shape, effect, help) MICA__SETTING_ENUM(name, kind, fallback, shape, effect, help)
#else
#define X(name, kind, fallback, shape, effect, help) MICA__SETTING_ROW(name, kind, fallback, shape, effect, help)
#endif

/* length */
X(max_length, INT, "20", POSITIVE, YES, "total length, prompt included")
X(max_new_tokens, INT, "null", POSITIVE, YES, "tokens to generate at most; goes before max_length")
X(min_length, INT, "0", COUNT, YES, "no end token before this total length")
X(min_new_tokens, INT, "null", COUNT, YES, "no end token before this many new tokens")
X(max_time, FLOAT, "null", ABOVE_ZERO, YES, "seconds to generate at most")
X(stop_strings, JSON, "null", STRINGS, YES, "texts that end the generation when they appear")
X(early_stopping, JSON, "false", EARLY, YES, "beam search: when to stop (true, false, \"never\")")
/* strategy */
X(do_sample, BOOL, "false", BOOL, YES, "draw tokens at random instead of taking the best")
X(num_beams, INT, "1", POSITIVE, YES, "beams of beam search")
X(num_return_sequences, INT, "1", POSITIVE, YES, "answers to one prompt")
X(seed, INT, "null", COUNT, YES, "start of the random numbers (mica's own); the same seed gives the same tokens")
/* choosing */
X(temperature, FLOAT, "1.0", ABOVE_ZERO, YES, "divides the scores: below 1 bolder, above 1 more random")
X(top_k, INT, "50", COUNT, YES, "keep the k best tokens; 0 keeps all")
X(top_p, FLOAT, "1.0", SHARE, YES, "keep the best tokens that together have this probability")
X(min_p, FLOAT, "null", SHARE, YES, "keep tokens with at least this share of the best one's probability")
X(top_h, FLOAT, "null", SHARE, YES, "keep the best tokens up to this share of the entropy")
X(typical_p, FLOAT, "1.0", SHARE, YES, "keep tokens of typical information up to this probability")
X(epsilon_cutoff, FLOAT, "0.0", SHARE, YES, "drop tokens below this probability")
X(eta_cutoff, FLOAT, "0.0", SHARE, YES, "drop tokens below a probability that follows the entropy")
X(min_tokens_to_keep, INT, "null", POSITIVE, YES,
  "the best tokens that these rules leave in any case; 1, with beams the end tokens and one more")
X(repetition_penalty, FLOAT, "1.0", ABOVE_ZERO, YES, "above 1: tokens seen before become less likely")
X(prompt_ignore_length, INT, "0", COUNT, YES, "tokens at the start that repetition_penalty does not count as seen")
X(encoder_repetition_penalty, FLOAT, "1.0", ABOVE_ZERO, YES, "above 1: tokens of the prompt become more likely")
X(no_repeat_ngram_size, INT, "0", COUNT, YES, "no group of n tokens comes twice")
X(encoder_no_repeat_ngram_size, INT, "0", COUNT, YES, "no group of n tokens of the prompt comes again")
X(bad_words_ids, JSON, "null", ID_LISTS, YES, "sequences of token ids that must not be completed")
X(sequence_bias, JSON, "null", BIASES, YES, "added to the score of the last token of a sequence: [[[ids], bias], ...]")
X(suppress_tokens, JSON, "null", IDS, YES, "token ids that never come")
X(begin_suppress_tokens, JSON, "null", IDS, YES, "token ids that do not come first")
X(forced_bos_token_id, INT, "null", ID, YES, "the token after a prompt of one token")
X(forced_eos_token_id, JSON, "null", IDS, YES, "the last token when max_length is reached")
X(exponential_decay_length_penalty, JSON, "null", DECAY, YES,
  "[start, factor]: the end token becomes likelier from there on")
X(renormalize_logits, BOOL, "false", BOOL, YES, "turn the final scores into log probabilities")
X(remove_invalid_values, BOOL, "false", BOOL, YES, "replace NaN and infinity in the scores")
/* tokens */
X(bos_token_id, INT, "null", ID, YES, "the token a text begins with")
X(eos_token_id, JSON, "null", IDS, YES, "token ids that end the text")
X(pad_token_id, INT, "null", ID, YES, "the token that fills up rows of a batch")
X(decoder_start_token_id, JSON, "null", ANY, NONE, "encoder-decoder models only")
/* not there yet, and not silently ignored */
X(length_penalty, FLOAT, "1.0", NUMBER, YES, "beam search: exponent of the length that divides a score")
X(guidance_scale, FLOAT, "1.0", NUMBER, YES,
  "classifier-free guidance: how far from what the negative prompt would give")
X(watermarking_config, JSON, "null", OBJECT, YES, "marks the text so that it can be recognized: {\"bias\": 2.0, ...}")
X(token_healing, BOOL, "false", BOOL, REFUSED, "tokenize the end of the prompt anew")
X(prompt_lookup_num_tokens, INT, "null", POSITIVE, YES, "speculative decoding from the prompt: tokens to guess")
X(max_matching_ngram_size, INT, "null", POSITIVE, YES, "prompt lookup: longest match")
X(assistant_early_exit, INT, "null", POSITIVE, NONE,
  "guesses of the model's first layers (mica gives the same tokens without)")
X(use_mtp, BOOL, "false", BOOL, REFUSED, "speculative decoding with the model's own prediction layers")
X(speculation_type, JSON, "null", ANY, NONE, "kind of speculative decoding (mica gives the same tokens without)")
X(penalty_alpha, FLOAT, "null", NUMBER, REFUSED, "contrastive search")
X(dola_layers, JSON, "null", ANY, REFUSED, "contrast with earlier layers")
X(num_beam_groups, INT, "1", POSITIVE, REFUSED, "diverse beam search")
X(diversity_penalty, FLOAT, "0.0", NUMBER, NONE, "diverse beam search: how different groups are")
X(constraints, JSON, "null", ANY, REFUSED, "constrained beam search")
X(force_words_ids, JSON, "null", ANY, REFUSED, "constrained beam search: words that must come")
/* about other programs' memory and output */
X(use_cache, BOOL, "true", BOOL, NONE, "keep keys and values (mica always does)")
X(cache_implementation, JSON, "null", ANY, NONE, "kind of Transformers cache")
X(cache_config, JSON, "null", ANY, NONE, "options of a Transformers cache")
X(max_cache_len, INT, "null", POSITIVE, NONE, "length of a static Transformers cache")
X(prefill_chunk_size, INT, "null", POSITIVE, NONE, "prompt tokens at a time (mica chooses)")
X(return_dict_in_generate, BOOL, "false", BOOL, NONE, "form of the Python result")
X(output_attentions, BOOL, "false", BOOL, NONE, "form of the Python result")
X(output_hidden_states, BOOL, "false", BOOL, NONE, "form of the Python result")
X(output_scores, BOOL, "false", BOOL, NONE, "form of the Python result")
X(output_logits, BOOL, "false", BOOL, NONE, "form of the Python result")
X(is_assistant, BOOL, "false", BOOL, NONE, "this model guesses for another")
X(num_assistant_tokens, INT, "20", POSITIVE, YES, "speculative decoding: tokens to guess")
X(num_assistant_tokens_schedule, JSON, "\"constant\"", ANY, YES,
  "speculative decoding: how that number changes (constant, heuristic)")
X(assistant_confidence_threshold, FLOAT, "0.4", NUMBER, YES,
  "speculative decoding: no more guesses after one less probable")
X(assistant_lookbehind, INT, "10", COUNT, NONE, "speculative decoding between tokenizers")
X(target_lookbehind, INT, "10", COUNT, NONE, "speculative decoding between tokenizers")
X(assistant_ensemble_weight, FLOAT, "null", NUMBER, REFUSED, "speculative decoding: trust in the assistant")
X(compile_config, JSON, "null", ANY, NONE, "options of torch.compile")
X(disable_compile, BOOL, "false", BOOL, NONE, "options of torch.compile")
X(low_memory, BOOL, "null", BOOL, NONE, "contrastive search in less memory")
X(continuous_batching_config, JSON, "null", ANY, NONE, "options of Transformers' batching")

#undef X
#undef MICA__SETTING_ENUM
#undef MICA__SETTING_ROW
