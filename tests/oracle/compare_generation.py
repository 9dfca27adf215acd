"""Random generation settings on a tiny trained model: Transformers' processed scores and sequences against mica's.

    python tests/oracle/compare_generation.py [SEED [HOW_MANY]]

Greedy runs are compared step by step; sampling ones by the scores of the first step (the random numbers differ by design).
"""
import json
import os
import random
import sys
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
try:
    import numpy
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
except ImportError as missing:
    print(f"skipped: {missing}", file=sys.stderr)
    sys.exit(77)
from mica_library import Failure, Model

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "../data/models/llama-chat")
VOCAB = 512


def ids(r, low, high):
    return [r.randrange(5, VOCAB) for _ in range(r.randint(low, high))]


def settings(r, sampling):
    s = {}

    def maybe(chance, name, value):
        if r.random() < chance:
            s[name] = value

    maybe(0.4, "repetition_penalty", r.choice([0.8, 1.1, 1.5, 3.0]))
    maybe(0.2, "encoder_repetition_penalty", r.choice([0.7, 1.3]))
    maybe(0.3, "no_repeat_ngram_size", r.choice([1, 2, 3]))
    maybe(0.2, "encoder_no_repeat_ngram_size", r.choice([1, 2, 3]))
    maybe(0.3, "bad_words_ids", [ids(r, 1, 3) for _ in range(3)] + [[263], [320, 388]])
    maybe(0.3, "sequence_bias", [[ids(r, 1, 2), r.uniform(-9, 9)], [[263], r.uniform(-9, 9)], [[320, 388], -5.0]])
    maybe(0.3, "suppress_tokens", ids(r, 1, 20) + [320])
    maybe(0.3, "begin_suppress_tokens", ids(r, 1, 20) + [320])
    maybe(0.2, "min_length", r.choice([3, 12, 25]))
    maybe(0.3, "min_new_tokens", r.choice([1, 8, 16]))
    # Two forced tokens are an exact tie, whose order in torch's sort is not defined.
    maybe(0.2, "forced_eos_token_id", 4 if sampling else r.choice([4, [4, 9]]))
    maybe(0.2, "forced_bos_token_id", 77)
    maybe(0.2, "exponential_decay_length_penalty", [r.choice([0, 3, 10]), r.choice([1.01, 1.3])])
    maybe(0.2, "remove_invalid_values", True)
    maybe(0.3, "renormalize_logits", True)
    maybe(0.3, "eos_token_id", r.choice([4, [4, 17, 18], [320, 263]]))
    if sampling:
        s["top_k"] = r.choice([0, 1, 5, 50, 600])
        maybe(0.5, "temperature", r.choice([0.2, 0.7, 1.7]))
        maybe(0.4, "top_p", r.choice([0.0, 0.1, 0.5, 0.9, 0.999]))
        maybe(0.3, "min_p", r.choice([0.0, 0.01, 0.3, 1.0]))
        maybe(0.3, "typical_p", r.choice([0.1, 0.5, 0.95]))
        maybe(0.2, "epsilon_cutoff", r.choice([0.001, 0.05]))
        maybe(0.2, "eta_cutoff", r.choice([0.001, 0.05]))
        maybe(0.2, "top_h", r.choice([0.1, 0.5, 0.9]))
    return s


def difference(a, b):
    same = a == b
    with numpy.errstate(invalid="ignore"):
        d = numpy.where(same, 0, numpy.abs(a - b))
    return float(numpy.nan_to_num(d, nan=numpy.inf, posinf=numpy.inf).max())


def compare(seed, theirs, ours):
    r = random.Random(seed)
    sampling = r.random() < 0.5
    s = settings(r, sampling)
    prompt = [0] + r.choice([[], [59, 330, 263, 492, 339, 16, 263], ids(r, 1, 12), [59, 330, 263, 459, 339, 16, 263, 459, 339]])
    steps = r.choice([1, 6, 20])
    expected = theirs.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), do_sample=sampling,
                               max_new_tokens=1 if sampling else steps, output_scores=True, return_dict_in_generate=True, pad_token_id=1,
                               **json.loads(json.dumps(s)))
    mine = {name: json.dumps(value) for name, value in s.items()}
    mine.update(max_new_tokens=str(1 if sampling else steps), do_sample=json.dumps(sampling))
    new, scores = ours.generate(prompt, mine, VOCAB)
    want = expected.sequences[0, len(prompt):].tolist()
    worst = 0
    for step, their_scores in enumerate(expected.scores):
        if step >= len(scores):
            return f"ends after {len(scores)} of {len(expected.scores)} tokens", s, prompt
        if bool(torch.isnan(their_scores).any()):  # an end token that is banned and made likelier: inf - inf
            return "", s, prompt
        d = difference(scores[step], their_scores[0].numpy())
        worst = max(worst, d)
        if d > 2e-3:
            return f"scores of step {step} differ by {d:.3g}", s, prompt
        if sampling:
            return "", s, prompt
        if new[step] != want[step]:
            top = torch.topk(their_scores[0], 2).values
            if float(top[0] - top[1]) > 1e-3:
                return f"token {step} is {new[step]}, expected {want[step]}", s, prompt
            return "", s, prompt
    return "" if len(new) == len(want) else f"{len(new)} tokens, expected {len(want)}", s, prompt


def main():
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    theirs = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32, attn_implementation="eager").eval()
    ours = Model(FOLDER)
    bad = refused = 0
    for seed in range(first, first + count):
        try:
            note, s, prompt = compare(seed, theirs, ours)
        except Failure as problem:
            print(f"seed {seed}: mica refuses: {problem}")
            bad += 1
            continue
        except Exception as problem:
            refused += 1
            print(f"seed {seed}: Transformers refuses: {type(problem).__name__}: {str(problem)[:120]}")
            continue
        if note:
            bad += 1
            print(f"seed {seed}: {note}\n  {json.dumps(s)} {prompt}")
    print(f"{count} settings, {bad} differ, {refused} refused by Transformers")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
