"""Whole generations with random settings: Transformers' generate beside mica's batches, on tiny trained models.

    python tests/oracle/compare_search.py [SEED [HOW_MANY [MODEL_FOLDER]]]

Batches with padding on the left, greedy search, beams in all variants, guidance, prompt lookup; every sequence, score, logit and beam index is
compared. A sequence may differ only where the two best candidates are nearer to each other than rounding.
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
    logging.set_verbosity_error()
except ImportError as missing:
    print(f"skipped: {missing}", file=sys.stderr)
    sys.exit(77)
from compare_generation import FOLDER, ids, settings
from mica_library import Failure, Model

VOCAB = 512
STARTS = [[0], [0, 59, 330, 263, 492, 339, 16, 263], [0, 59, 330], [59, 330, 263, 459, 339, 16, 263, 459, 339]]


def make_case(seed):
    r = random.Random(seed)
    s = settings(r, False)
    s["max_new_tokens"] = r.choice([1, 2, 7, 20])
    kind = r.choice(["greedy", "beams", "beams", "beams", "guidance", "lookup"])
    n = 1 if kind == "lookup" else r.choice([1, 1, 2, 3])
    if kind == "beams":
        s["num_beams"] = r.choice([2, 3, 5])
        s["num_return_sequences"] = r.randint(1, s["num_beams"])
        s["early_stopping"] = r.choice([True, False, "never"])
        s["length_penalty"] = r.choice([0.0, 0.5, 1.0, 2.0, -1.0])
        s.pop("forced_eos_token_id", None)  # its final step is a tie of many
        if r.random() < 0.3:
            s["guidance_scale"] = 1.5
    if kind == "guidance":
        s["guidance_scale"] = r.choice([0.5, 1.5, 3.0])
    if kind == "lookup":
        s["prompt_lookup_num_tokens"] = r.choice([1, 3, 10])
        s["max_matching_ngram_size"] = r.choice([1, 2, 4])
        s.pop("exponential_decay_length_penalty", None)
    prompts = [r.choice(STARTS + [ids(r, 1, 9)]) for _ in range(n)]
    width = max(map(len, prompts))
    rows = numpy.array([[1] * (width - len(p)) + p for p in prompts])
    mask = numpy.array([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    negative = numpy.array([ids(r, 3, 3) for _ in range(n)]) if "guidance_scale" in s and r.random() < 0.5 else None
    return s, rows, mask, negative


def difference(a, b):
    same = a == b
    with numpy.errstate(invalid="ignore"):
        d = numpy.where(same, 0, numpy.abs(a - b))
    return float(numpy.nan_to_num(d, nan=numpy.inf, posinf=numpy.inf).max()) if d.size else 0


def generate_theirs(model, s, rows, mask, negative):
    more = {} if negative is None else {"negative_prompt_ids": torch.tensor(negative)}
    out = model.generate(torch.tensor(rows), attention_mask=torch.tensor(mask), do_sample=False, output_scores=True, output_logits=True,
                         return_dict_in_generate=True, pad_token_id=1, **json.loads(json.dumps(s)), **more)
    return out


def compare(theirs, ours, s, rows, mask, negative):
    want = generate_theirs(theirs, s, rows, mask, negative)
    got = ours.batch(rows, mask, {**s, "do_sample": False, "pad_token_id": 1}, negative)
    scores = torch.stack(want.scores).numpy()
    logits = torch.stack(want.logits).numpy()
    if numpy.isnan(scores).any():
        return "", "nan"
    beams = s.get("num_beams", 1) > 1
    for step in range(min(len(scores), len(got["scores"]))):
        if difference(got["scores"][step], scores[step]) > 3e-3:
            return f"scores of step {step} differ by {difference(got['scores'][step], scores[step]):.3g}", ""
        if difference(got["logits"][step], logits[step]) > 3e-3:
            return f"logits of step {step} differ", ""
    if got["sequences"].tolist() != want.sequences.tolist():
        return f"sequences\n    {got['sequences'].tolist()}\n    {want.sequences.tolist()}", ""
    if len(scores) != len(got["scores"]):
        return f"{len(got['scores'])} steps, expected {len(scores)}", ""
    if beams:
        if got["beam_indices"].tolist() != want.beam_indices.tolist():
            return "beam indices", ""
        d = difference(got["sequences_scores"], want.sequences_scores.numpy())
        if d > 1e-4 * max(1, numpy.abs(got["sequences_scores"]).max()):
            return f"sequence scores differ by {d}", ""
    return "", "beams" if beams else "rows"


def main():
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    folder = sys.argv[3] if len(sys.argv) > 3 else FOLDER
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ours = Model(folder)
    bad = refused = 0
    for seed in range(first, first + count):
        case = make_case(seed)
        try:
            note, _ = compare(theirs, ours, *case)
        except Failure as problem:
            note = f"mica refuses: {problem}"
        except Exception as problem:
            refused += 1
            print(f"seed {seed}: Transformers refuses: {type(problem).__name__}: {str(problem)[:120]}")
            continue
        if note:
            bad += 1
            print(f"seed {seed}: {note}\n  {json.dumps(case[0])} {case[1].tolist()}")
    print(f"{count} settings, {bad} differ, {refused} refused by Transformers")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
