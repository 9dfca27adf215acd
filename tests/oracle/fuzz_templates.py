#!/usr/bin/env python3
"""Compares libmica's template language with the real Jinja on random templates.

usage: fuzz_templates.py [--library libmica.so] [--seed N] [--count N]"""
import argparse
import random
import sys

import jinja_oracle
from mica_template import Library
from template_snippets import VALUES

NAMES = list(VALUES) + ["undefinedvar", "x", "y", "tools", "d.a", "dd.x.y", "people[0]", "messages[1].content", "messages[2]", "nested[0]"]
FILTERS = ("abs attr('a') batch(2)|list batch(2,'x')|list capitalize center(9) count d('q') default('q') default('q',true) dictsort dictsort(by='value') e escape "
           "filesizeformat first float float(1.5) forceescape format(1) groupby('city')|list indent indent(2,true) indent(blank=true) int int(5) items|list join join(',') join('-',attribute='name') "
           "last length list lower map('upper')|list map(attribute='name')|list map('string')|join map('length')|list max max(attribute='age') min pprint reject('odd')|list reject|list rejectattr('age')|list "
           "replace('a','b') replace('','-') reverse reverse|list round round(1) round(1,'floor') round(-1) safe select|list select('string')|list select('defined')|list selectattr('name')|list selectattr('age','gt',1)|list slice(2)|list sort sort(reverse=true) sort(attribute='name') "
           "string striptags sum sum(attribute='age') title tojson tojson(indent=2) tojson(ensure_ascii=true) tojson(sort_keys=true) trim trim('ad') truncate(7) truncate(7,true,leeway=0) unique|list upper urlencode urlize wordcount wordwrap(8) wordwrap(5,false) xmlattr").split(" ")
TESTS = ("boolean callable defined divisibleby(2) eq(1) escaped even false filter float ge(2) gt(1) in([1,'a']) in('abc') integer iterable le(2) lower lt(3) mapping ne(1) none number odd sameas(none) sequence string test true undefined upper").split(" ")
METHODS = ("capitalize() casefold() center(8) center(8,'*') count('a') count('') encode() endswith('d') expandtabs(3) find('l') find('l',3) find('') format(1,2) index('l') isalnum() isalpha() isascii() isdecimal() isdigit() isidentifier() islower() isnumeric() isprintable() isspace() istitle() isupper() "
           "join(['a','b']) ljust(7) lower() lstrip() lstrip('H ') partition('o') replace('l','L') replace('l','',1) removeprefix('H') removesuffix('d') rfind('o') rindex('o') rjust(7,'.') rpartition('o') rsplit() rsplit('o',1) rstrip() split() split('o') split(',',1) split(maxsplit=1) splitlines() splitlines(true) startswith('H') startswith(('a','H')) strip() strip('Hd') swapcase() title() upper() zfill(9) "
           "items() keys() values() get('a') get('zz',1) copy() count(1) index(1) real bit_length() is_integer() append(1) pop() update({})").split(" ")
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
STRINGS = ["''", "'a'", "'Hello'", "'é中😀'", "'a b'", "'%s'", "'{}'", "'{0:>4}'", "'%d-%s'", "'1'", "'2.5'", "'<b>'", "'\\n'", "'x\\ty'"]


# What gives what: mostly well-typed expressions get further than random ones.
S, I, L, D, B, A = "str", "int", "list", "dict", "bool", "any"
ATOMS = {
    S: ["s", "u", "empty", "spaces", "lines", "quote", "html", "messages[1].content", "people[0].name", "d|first"] + STRINGS,
    I: ["n", "neg", "zero", "f", "nf", "1", "2", "-3", "10", "0.5", "2.5", "loop.index", "l[0]", "d.a", "true"],
    L: ["l", "strs", "mixed", "nested", "people", "messages", "[]", "range(4)", "(1, 'a')", "['b', 'a']", "dd.x.y.z", "s.split('o')", "d.keys()", "d.items()"],
    D: ["d", "dd", "people[0]", "messages[2]", "{}", "{'q': 1, 'p': [2]}", "dict(a=1)", "dd.x"],
    B: ["t", "fa", "true", "none", "undefinedvar", "x is defined", "loop is defined", "tools"],
}
RULES = {
    S: ["{S}|" + f for f in "capitalize center(9) e indent(2,true) lower replace('a','b') replace('','-') reverse safe string striptags title trim truncate(7) upper urlencode wordwrap(8) forceescape default('q')".split(" ")]
    + ["{S}." + m for m in METHODS if m.split("(")[0] in "capitalize casefold center expandtabs ljust lower lstrip replace removeprefix removesuffix rjust rstrip strip swapcase title upper zfill".split(" ")]
    + ["{A}|tojson", "{A}|tojson(indent=2)", "{D}|tojson(sort_keys=true)", "{A}|string", "{S} ~ {A}", "{S} + {S}", "{S} * 2", "{L}|join(',')", "{L}|join", "'-'.join({L}|map('string'))", "{S}[{X}]", "'%s|%s' % ({A}, {A})", "'{} {!r}'.format({A}, {A})",
       "'{:>8}'.format({S})", "'%5.1f' % {I}", "'{:,.2f}'.format({I})", "{I}|filesizeformat", "{D}|xmlattr", "{A}|pprint", "{S}.partition('o')[0]", "{L}|map('string')|first"],
    I: ["{I} + {I}", "{I} - {I}", "{I} * {I}", "{I} / {I}", "{I} // {I}", "{I} % {I}", "-{I}", "{I}|abs", "{I}|round(1)", "{I}|int", "{S}|int", "{S}|float", "{S}|length", "{L}|length", "{L}|list|count", "{S}.find('o')", "{S}.count('l')", "{S}|wordcount", "[{I}, {I}]|sum", "[{I}, {I}]|max", "{D}|length", "{B}|int(3)"],
    L: ["{L} + {L}", "{L}|list", "{L}|list + {L}|list", "{L}|sort(attribute='name')", "{L}|map('string')|list", "{L}|map('string')|sort", "{L}|unique|list", "{L}|map('string')|unique|list", "{L}|reverse|list", "{L}[{X}]", "({L}|list)[{Y}]", "{L}|batch(2)|list", "{L}|slice(2)|list", "{L}|select|list", "{L}|reject('none')|list", "{L}|select('string')|list",
        "{L}|select('number')|list", "{S}.split()", "{S}.split('l', 1)", "{S}.rsplit('o', 1)", "{S}.splitlines()", "{S}|list", "[{A}, {A}]", "({A},)", "{D}|items|list", "{D}.values()|list", "{D}|dictsort", "{L}|map('length')|list", "people|map(attribute='name')|list", "people|selectattr('age', 'defined')|list", "people|groupby('city')|list", "people|rejectattr('name', 'eq', {S})|list", "{L}|selectattr('name')|list", "{L} * 2"],
    D: ["dict(a={A}, b={A})", "{{'k': {A}, 'l': {A}}}", "{{{I}: {A}}}", "{D}.copy()"],
    B: ["not {B}", "{B} and {B}", "{B} or {A}", "{A} == {A}", "{I} < {I}", "{S} in {S}", "{A} in {L}", "{S} not in {D}", "{I} <= {I} < {I}", "{S} != {S}", "{S}.startswith({S})", "{S}.isalnum()", "{S}.istitle()", "{L}|length > {I}", "{S} < {S}"] + ["{A} is " + t for t in TESTS if t not in ("odd", "even", "divisibleby(2)", "ge(2)", "gt(1)", "le(2)", "lt(3)", "filter", "test", "in('abc')")] + ["{I} is divisibleby 2", "{I} is odd", "{I} is gt(1)"],
}
RULES[A] = sum(RULES.values(), [])
ATOMS[A] = sum(ATOMS.values(), [])


class Maker:
    def __init__(self, r):
        self.r = r

    def index(self, slice_only):
        r = self.r
        part = lambda: r.choice(["", str(r.randint(-4, 6))])
        s = f"{part()}:{part()}" + r.choice(["", "", ":-1", ":2", ":-2", ":1"])
        return s if slice_only or r.random() < 0.6 else str(r.randint(-1, 1))

    def expr(self, depth, kind=A):
        r = self.r
        if r.random() < 0.02:
            kind = r.choice([S, I, L, D, B])
        if kind == A:
            kind = r.choice([S, S, I, L, D, B])
        if depth <= 0:
            return r.choice(ATOMS[kind])
        if r.random() < 0.08:
            return f"({self.expr(depth - 1, kind)} if {self.expr(depth - 1, B)} else {self.expr(depth - 1, kind)})"
        if r.random() < 0.04:
            return r.choice([f"({self.expr(depth - 1)})|{r.choice(FILTERS)}", f"({self.expr(depth - 1)}).{r.choice(METHODS)}", f"({self.expr(depth - 1)} {r.choice(BINARY)} {self.expr(depth - 1)})"])
        out, rule = [], r.choice(RULES[kind])
        while rule:
            c, rule = rule[0], rule[1:]
            if c == "{" and rule[:2] in ("S}", "I}", "L}", "D}", "B}", "A}"):
                which = {"S": S, "I": I, "L": L, "D": D, "B": B, "A": A}[rule[0]]
                inner = self.expr(depth - 1 - r.randint(0, 1), which)
                out.append(inner if inner.isidentifier() else f"({inner})")
                rule = rule[2:]
            elif c == "{" and rule[:2] in ("X}", "Y}"):
                out.append(self.index(True))
                rule = rule[2:]
            elif c == "{" and rule[:1] == "{":
                out.append("{")
                rule = rule[1:]
            elif c == "}" and rule[:1] == "}":
                out.append("}")
                rule = rule[1:]
            else:
                out.append(c)
        return "".join(out)

    def space(self):
        return self.r.choice(["", "", " ", "\n", "\n\n", "  \n", "\t", " x ", "text", "\n  "])

    def tag(self, body):
        r = self.r
        return "{%" + r.choice(["", "", "-", "+"]) + " " + body + " " + r.choice(["", "", "-", "+"]) + "%}"

    def block(self, depth, in_loop=False):
        r, out = self.r, []
        for _ in range(r.randint(1, 4)):
            k = r.randint(0, 13) if depth > 0 else r.randint(0, 4)
            e = lambda: self.expr(r.randint(0, 2))
            v = r.choice(["x", "y", "n", "s", "z"])
            body = lambda loop=in_loop: self.space() + self.block(depth - 1, loop) + self.space()
            if k < 3:
                out.append("{{" + r.choice(["", "-"]) + " " + e() + " " + r.choice(["", "-"]) + "}}")
            elif k == 3:
                out.append(self.tag(f"set {v} = {e()}"))
            elif k == 4:
                out.append(r.choice(["text", "{# c #}", "{#- c -#}", "  {#+ c +#}\n", "{% raw %} {{ a }} {% endraw %}", " {%- raw -%} q {%- endraw -%} "]))
            elif k < 7:
                out.append(self.tag(f"if {e()}") + body() + (self.tag(f"elif {e()}") + body() if r.random() < 0.3 else "") + (self.tag("else") + body() if r.random() < 0.5 else "") + self.tag("endif"))
            elif k < 10:
                target, source = r.choice([(v, "l"), (v, e()), ("a, b", "d.items()"), ("a, b", "d|dictsort"), (v, "messages"), (v, "range(3)"), (v, "s[:3]"), (v, "people")])
                test = f" if {v} is {r.choice(TESTS)}" if r.random() < 0.2 else ""
                inner = body(True) + r.choice(["", "{{ loop.index }}", "{{ loop.last }}{{ loop.revindex }}", "{{ loop.previtem is defined }}{{ loop.nextitem }}", "{% if loop.first %}{% continue %}{% endif %}", "{% if loop.index == 2 %}{% break %}{% endif %}", "{{ loop.changed(x) }}{{ loop.cycle(1, 2) }}", "{{ loop.length }}"])
                out.append(self.tag(f"for {target} in {source}{test}") + inner + (self.tag("else") + body() if r.random() < 0.2 else "") + self.tag("endfor"))
            elif k == 10:
                out.append(self.tag(f"macro m(x, y={e()})") + body(False) + self.tag("endmacro") + "{{ m(" + r.choice(["", e(), "y=" + e(), f"{e()}, {e()}"]) + ") }}")
            elif k == 11:
                out.append(self.tag(f"set {v}{r.choice(['', ' | upper', ' | trim'])}") + body() + self.tag("endset") + "{{ " + v + " }}")
            elif k == 12:
                out.append(self.tag(f"with {v} = {e()}") + body() + self.tag("endwith"))
            else:
                out.append(r.choice([self.tag("filter " + r.choice(["upper", "trim", "indent(2)"])) + body() + self.tag("endfilter"),
                                     self.tag("set ns = namespace(q=1)") + self.tag(f"set ns.q = {e()}") + "{{ ns.q }}",
                                     self.tag("macro c()") + "<{{ caller() }}>" + self.tag("endmacro") + self.tag("call c()") + body(False) + self.tag("endcall"),
                                     self.tag("generation") + body(False) + self.tag("endgeneration")]))
            out.append(self.space())
        return "".join(out)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--library")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--count", type=int, default=2000)
    options.add_argument("--show", type=int, default=20)
    args = options.parse_args()
    compile, library = jinja_oracle.compiler(), Library(args.library)
    different = errors = 0
    for i in range(args.count):
        maker = Maker(random.Random(args.seed * 1000003 + i))
        template = maker.block(3) if i % 2 else "{{ " + maker.expr(4) + " }}"
        expected, got = jinja_oracle.render(compile, template, VALUES), library.render(template, VALUES)
        error = expected.get("error", "")
        if " at 0x" in expected.get("text", "") or "NameError" in error or "MemoryError" in error or "iteration over" in error:
            continue
        if isinstance(got, tuple) and got[0] == "LIMIT":
            continue
        errors += "error" in expected
        ok = got == expected["text"] if "text" in expected else isinstance(got, tuple)
        if not ok:
            different += 1
            if different <= args.show:
                print(f"{template!r}\n   real {expected}\n   mica {got!r}")
    print(f"{args.count} templates, {errors} of them errors, {different} different")
    return different != 0


if __name__ == "__main__":
    sys.exit(main())
