"""Template snippets that between them use every statement, operator, filter, test, function and method of the language.

`snippets()` yields (template, variables). Most use the variables of `VALUES`."""

VALUES = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi <b>&\"there\"</b> 😀"},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": {"x": 1, "y": [1, 2.5, None, True]}}]},
    ],
    "s": "Hello, World",
    "u": "Ünïcödé straße ΑΣ ǆ İi ﬁ 中文 😀",
    "empty": "",
    "spaces": "  a  b\tc \n d  ",
    "lines": "one\ntwo\r\nthree\rfour\x0bfive\x85six\u2028seven\n\n",
    "quote": "it's \"q\" \\ \n\t\x01 é \u200b",
    "n": 7, "neg": -7, "zero": 0, "big": 123456789012345678901234567890, "f": 2.5, "g": 1e16, "tiny": 1e-7, "nf": -0.5,
    "t": True, "fa": False, "none": None,
    "l": [3, 1, 2], "strs": ["b", "A", "c", "a"], "mixed": [1, "a", None, 2.5, True, [1], {"k": 1}], "nested": [[1, 2], [3, [4]]],
    "d": {"b": 1, "a": 2, "C": 3}, "dd": {"x": {"y": {"z": [10, 20]}}, "items": "key", "": 1},
    "people": [{"name": "Bo", "age": 3, "city": "X"}, {"name": "al", "age": 1, "city": "y"}, {"name": "Cy", "age": 2, "city": "x"}, {"name": "Di", "city": "X"}],
    "html": "<p class='a'>A &amp; B</p><!-- c --> <br>x &lt; &#39;y&#x41; &nbsp;z",
}

EXPRESSIONS = r"""
1 + 2 * 3 - 4 / 2
7 // 2, -7 // 2, 7 // -2, 7 % 3, -7 % 3, 7 % -3, 7.5 // 2, -7.5 % 2, 7.5 % -2
2 ** 10, 2 ** -1, -2 ** 2, 2 ** 3 ** 2, 2.0 ** 0.5, (-2) ** 3, 0 ** 0
1 / 3, 2 / 1, 1e300 * 1e10, -1e300 * 1e10
1 / 0
1 // 0
1 % 0
1.0 % 0
0 ** -1
1_000 + 0x1F + 0o17 + 0b101, 1_0.5_0, 1e3, 1E-2, 1.5e+3
00, 0_0
9223372036854775807, -9223372036854775807 - 1
12345678901234567890
-12345678901234567890
big, big == 123456789012345678901234567890, big > 5, big < 5, big|string, [big]|tojson, -big, big is integer, big is number
1 + true, true + true, -true, +true, ~1
-s
not 1, not "", not [], not none, not undefinedvar
1 == 1.0, 1 == true, "a" == "a", [1] == [1.0], [1] == (1,), {"a": 1} == {"a": 1.0}, none == none, undefinedvar == othervar, "1" == 1
1 < 2 < 3, 1 < 3 < 2, 3 > 2 > 1, 1 < 2 > 1, "a" < "b" <= "b" != "c"
"a" < 1
[1, 2] < [1, 3], [1] < [1, 0], (1, "a") < (1, "b")
[1, "a"] < [1, 2]
none < 1
{} < {}
undefinedvar < 1
undefinedvar + 1
1 + undefinedvar
undefinedvar ~ "x"
undefinedvar.foo
undefinedvar["foo"]
undefinedvar[0]
undefinedvar()
-undefinedvar
undefinedvar|int
undefinedvar|float
undefinedvar|length, undefinedvar|list, undefinedvar|string, undefinedvar|upper, undefinedvar|default("d"), undefinedvar|join(","), undefinedvar|items|list
undefinedvar|tojson
undefinedvar in [1], 1 in undefinedvar, "a" in undefinedvar
none.foo, none.foo is defined, none["x"] is defined
none.foo.bar
none + 1
none()
none|length
1 in none
none|items|list
s.foo.bar
s.foo
n.real, n.imag, n.numerator, n.denominator, n.bit_length(), f.is_integer(), f.real, t.real, 5.0.is_integer()
"a" + "b" "c" ~ 1 ~ none ~ true ~ 1.0 ~ [1, "a"]
"a" + 1
"a" + none
"a" + [1]
1 + "a"
[1] + [2], (1,) + (2,)
[1] + (2,)
[1] + "a"
{} + {}
"ab" * 3, 3 * "ab", [1] * 2, "ab" * -1, (1,) * 2, "ab" * true
"ab" * 1.5
"ab" * "c"
"ab" - "a"
"a" in "abc", "" in "abc", "x" not in "abc", 1 in [1, 2], 1.0 in [1], "a" in {"a": 1}, 3 in range(5), none in [none]
1 in "abc"
none in "abc"
[1] in [[1]], (1, 2) in {(1, 2): 3}
[1] in {"a": 1}
1 if true else 2, 1 if false else 2, (1 if false), (1 if false) is defined
1 if true else 2 if false else 3
true and false or true, 0 or "x", "" and 1, 1 and 2, none or undefinedvar or 3
not true and false, not (true and false), not 1 == 2
1, 2
(1,), (), (1, 2), [], {}, {"a": 1, "b": [1, {"c": none}]}, [1, "two", 3.0, none, true, (1,), ()]
{1: 2, 1.0: 3, true: 4}, {"a": 1, "a": 2}, {(1, 2): 3, none: 4}
{[1]: 2}
{{}: 2}
[1, 2,], (1, 2,), {"a": 1,}
"\n\t\\\'\"\x41\u00e9\U0001F600\101\0é\é\q"
'a' 'b' "c"
"unterminated
'\N{DASH}'
s[0], s[-1], s[0:5], s[:5], s[7:], s[::-1], s[::2], s[1:10:3], s[-5:-1], s[10:2:-2], s[100:], s[:-100], s[5:5], s[:0]
u[0], u[-1], u[1:4], u[::-1], u[::3], u[-3:], u[20:2:-4]
l[0], l[-1], l[1:], l[::-1], l[:2], l[5:], l[-100:100], l[0:3:2], l[100] is defined, l[-4] is defined, l["x"] is defined, l[1.0] is defined
l[100]
l[100].x
l[::0]
l["a":]
l[1.5:]
l[none:none:none], l[true:]
n[1:]
n[1]
n[1].x
d["b"], d.b, d["zz"] is defined, d.zz is defined, d.get("b"), d.get("zz"), d.get("zz", 5), d.items, d["items"] is defined, dd.items is string, dd["items"], dd[""]
d.zz.y
d[1:]
d[[1]]
d[none] is defined
d.keys()|list, d.values()|list, d.items()|list, d.keys(), d.values(), d.items()
d.items()|length, d.keys()|first, d.items()|last, "b" in d.keys(), 2 in d.values(), ("b", 1) in d.items()
d.items()[0] is defined
dd.x.y.z[1], dd["x"]["y"]["z"][-1], dd.x.y.z.0, dd.x["y"].z[0]
range(5), range(1, 5), range(5, 1, -2), range(0), range(5)|list, range(1, 10, 3)|list, range(5)[1], range(5)[-1], range(10)[2:5], range(10)[::-1]|list, range(5)|length, range(0) is defined, range(3) == range(3)
range(5)|last, range(5)|first, range(5).start, range(5).stop, range(5).step, range(5).count(3), range(5).index(3)
range(1.5)
range("a")
range(1, 2, 0)
range(100001)
range(100000)|length
range()
range(1, 2, 3, 4)
dict(a=1, b=2), dict({"x": 1}, y=2), dict([("a", 1), ["b", 2]]), dict()
dict(1)
dict([1])
dict([(1, 2, 3)])
namespace(a=1).a, namespace({"b": 2}).b, namespace(a=1)
namespace(a=1)["a"]
namespace(a=1).zz is defined
cycler("a", "b").next(), cycler("a", "b").current
cycler()
joiner("|")(), joiner()
lipsum
s.upper(), s.lower(), s.title(), s.capitalize(), s.swapcase(), s.casefold()
u.upper(), u.lower(), u.title(), u.capitalize(), u.swapcase(), u.casefold()
"ΑΣ".lower(), "ΑΣΑ".lower(), "Σ".lower(), "ΑΣ.".lower(), "A'Σ b".lower(), "ß".upper(), "ﬃ".title(), "they're bill's".title(), "x1y 2z".title(), "ǆ".title()
s.split(), s.split(","), s.split("l"), s.split("l", 1), s.rsplit("l", 1), spaces.split(), spaces.split(none, 1), spaces.rsplit(none, 1), spaces.split(" "), empty.split(), empty.split(","), s.split(sep=",", maxsplit=1), s.split("zz"), s.split("o", 0), s.split(maxsplit=1)
s.split("")
s.split(1)
s.split(foo=1)
lines.splitlines(), lines.splitlines(true), empty.splitlines(), "a\n".splitlines(), "\n".splitlines(), lines.splitlines(keepends=true)
s.partition(","), s.rpartition("o"), s.partition("zz"), s.rpartition("zz")
s.partition("")
spaces.strip(), spaces.lstrip(), spaces.rstrip(), s.strip("Hd"), s.lstrip("Hel"), s.rstrip("dlr"), "xxaxx".strip("x"), "  x ".strip(" "), s.strip(""), s.strip(none), "é中é".strip("é")
s.strip(1)
s.replace("l", "L"), s.replace("l", "L", 1), s.replace("", "-"), s.replace("", "-", 3), "".replace("", "x"), s.replace("zz", "y"), s.replace("l", ""), u.replace("中", "x"), s.replace("l", "L", -1), s.replace("l", "L", 0), "".replace("", "x", 0)
s.replace("l")
s.replace("l", 1)
s.startswith("He"), s.startswith(("x", "He")), s.startswith("ello", 1), s.startswith("ello", 1, 3), s.endswith("ld"), s.endswith(("a", "d")), s.endswith("Wor", 0, 10), s.startswith(""), s.startswith("", 100), s.startswith(()), "".endswith("")
s.startswith(["a"])
s.startswith(1)
s.startswith((1,))
s.find("o"), s.find("o", 5), s.rfind("o"), s.find("zz"), s.index("W"), s.rindex("l"), s.find("", 3), s.find("", 100), s.find("o", -3), s.count("l"), s.count(""), s.count("l", 4), s.count("ll"), u.find("中"), u.rfind("😀"), u.index("ß"), s.find("l", 3, 5), s.rfind("l", 0, 4), s.rfind(""), "aaa".count("aa")
s.index("zz")
s.rindex("zz")
s.find(1)
",".join(["a", "b"]), "".join("abc"), "-".join(d), "x".join([]), ",".join(("a",)), ", ".join(d.keys())
",".join([1])
",".join(1)
"abc".center(9), "abc".center(8), "abcd".center(9), "abc".center(9, "*"), "abc".center(2), "abc".ljust(6, "."), "abc".rjust(6), "abc".zfill(6), "-5".zfill(4), "+5".zfill(4), "".zfill(2), "é".center(5, "中")
"abc".center(9, "ab")
"abc".center("x")
"abc".isalpha(), "ab1".isalpha(), "".isalpha(), "ab1".isalnum(), "12".isdigit(), "²".isdigit(), "²".isdecimal(), "½".isnumeric(), "½".isdigit(), "٣".isdecimal(), "一".isnumeric(), "abc".islower(), "aBc".islower(), "ABC".isupper(), "A1".isupper(), "1".isupper(), " \t\n".isspace(), "".isspace(), "Hello World".istitle(), "Hello world".istitle(), "abc".isascii(), "é".isascii(), "".isascii(), "a_1".isidentifier(), "1a".isidentifier(), "a b".isidentifier(), "abc".isprintable(), "a\n".isprintable(), "".isprintable(), "\u00ad".isprintable(), "中".isalpha(), "ǅ".istitle()
"TestHook".removeprefix("Test"), "TestHook".removesuffix("Hook"), "x".removeprefix("xy"), "abc".removesuffix("")
"a\tb\tcd\te".expandtabs(), "a\tb".expandtabs(4), "a\tb\n\tc".expandtabs(tabsize=2), "\t".expandtabs(0)
"{} {}".format(1, "a"), "{0} {1} {0}".format(1, 2), "{a} {b!r}".format(a=1, b="x"), "{:>5}|{:<5}|{:^5}|{:*^7}".format("a", "b", "c", "d"), "{:05d} {:+d} {: d} {:x} {:X} {:#x} {:b} {:#o} {:c}".format(42, 42, 42, 255, 255, 255, 5, 8, 65), "{:,} {:_} {:,.2f}".format(1234567, 1234567, 1234567.891), "{:.2f} {:.0f} {:e} {:g} {:.3g} {:%} {:.1%}".format(3.14159, 2.5, 12345.678, 0.0001, 1234567.0, 0.25, 0.256), "{{}}".format(), "{a[x]} {b.real} {c[0]}".format(a={"x": 1}, b=2, c=[3]), "{:{}}".format("a", 5), "{:{w}}|".format("a", w=4), "{!s} {!r} {!a}".format("a", "b", "c")
"{:10.3f}|{:<10}|{:^10}|{:>10}|{:=+10}|{:010}|{:<010}".format(3.14159, 1, 2, 3, 4, 5, 6), "{:s} {:.2s} {:5.1s}|".format("abc", "abc", "abc"), "{} {} {}".format(none, true, [1, "a"]), "{:5}|{:<5}|{:d}".format(true, true, true), "{:.3}|{:.10}|{:.1}|{}".format(1234.5, 0.1, 0.05, 1e22), "{:g} {:g} {:G} {:.0e} {:#.0f} {:#g}".format(1e10, 1e-5, 1e-10, 12345.0, 3.0, 1.0), "{:015,d}|{:010,.1f}|{:x<8,d}".format(1234567, 1234.5, 1234), "{:08.3f} {:+.1f} {: .1f} {:-.1f}".format(-3.14159, 2.0, 2.0, 2.0), "{:n} {:E} {:F}".format(5, 1.5, 1.5), "{:.2f}".format(5), "{:#b} {:#X} {:_b} {:_x}".format(5, 255, 255, 65535)
"{}".format()
"{a}".format(b=1)
"{0} {}".format(1, 2)
"{".format(1)
"}".format(1)
"{:d}".format("a")
"{:s}".format(1)
"{:d}".format(1.5)
"{:z}".format(1)
"{:.2d}".format(1)
"{:,s}".format("a")
"{!x}".format(1)
"{:>5}".format([1])
"{:=5}".format("a")
"{0.foo}".format(1)
"{0.__class__}".format(1)
"{a.__class__.__mro__}".format(a=1)
"{x}".format_map({"x": 5}), "{x:>3}".format_map({"x": 5})
"{x}".format_map({})
"%s %d %r %5.2f|%-5s|%5s|%05d|%x|%o|%c|%%|%i|%e|%g" % ("a", 1, "b", 3.14159, "l", "r", 42, 255, 8, "c", 3.9, 12345.678, 0.0001)
"%(a)s %(b)d" % {"a": 1, "b": 2}, "%s" % "x", "%s" % [1, 2], "%s" % none, "%d" % 3.99, "%s %s" % (1, 2), "%+d % d %#x %#o %X %G" % (1, 2, 255, 8, 255, 1e-10), "%*d|%-*d|%.*f" % (5, 1, 5, 2, 2, 3.14159), "%.3s|%5.1s|" % ("abcdef", "xyz"), "%c%c" % (65, "z"), "%a" % "x", "%5%|" % (), "%s" % undefinedvar, "%s" % {"a": 1}, "%.3d" % 5, "%08.3f" % 3.14159, "%-8d|" % 5, "%+.1e" % 12345.678
"%d" % "a"
"%x" % 1.5
"%s %s" % (1,)
"%s" % (1, 2)
"abc" % 1
"abc" % [1], "abc" % {}, "abc" % ()
"%(a)s" % 1
"%(a)s" % {"b": 1}
"%z" % 1
"%" % 1
"%c" % "ab"
"%f" % "a"
s.encode(), s.encode("utf-8"), "é".encode(), "é\n'".encode(), "abc".encode("ascii").decode(), "é".encode()|length
"é".encode("ascii")
"abc".translate({97: "X", 98: none, 99: 100})
l.count(1), l.index(2), l.copy(), (1, 2, 1).count(1), (1, 2).index(2), [1, 2, 1].index(1, 1)
l.index(9)
l.append(1)
l.pop()
l.extend([1])
l.insert(0, 1)
l.sort()
l.reverse()
l.remove(1)
l.clear()
l.append
d.update({"x": 1})
d.pop("a")
d.popitem()
d.setdefault("a", 1)
d.clear()
d.copy(), d.fromkeys([1, 2]), d.fromkeys("ab", 0)
d.get([1])
d.get()
s.__class__
s.__class__.__mro__
s.__len__()
d.__class__, d["__class__"]
l.__class__.__base__
range.__class__
namespace.__init__
cycler.__init__.__globals__
joiner.__init__.__globals__.os
s._x, d._x
{"_x": 1}._x, {"__x": 1}["__x"], {"__x": 1}.__x
s|attr("upper"), d|attr("a"), s|attr("__class__"), d|attr("zz") is defined
(s|attr("upper"))()
s.nope()
s()
n()
s.upper(1)
s.upper
range
dict
namespace
"abc"|upper, "ABC"|lower, "hello world-foo (bar) [baz] <q> {w}"|title, "hELLO"|capitalize, "é ñ"|upper, "they're"|title, "ß x"|title
1|upper, none|upper, true|lower, [1, "A"]|lower
"  a "|trim, "xxaxx"|trim("x"), 5|trim, "  a "|trim(chars=" ")
s|length, l|length, d|length, (1, 2)|count, u|length
5|length
1.5|length
s|reverse, l|reverse|list, (1, 2)|reverse|list, d|reverse|list, range(3)|reverse|list, "é中"|reverse, l|reverse|first
5|reverse
s|first, l|first, d|first, []|first is defined, ""|first is defined, s|last, l|last, d|last, []|last is defined, ""|last is defined, range(3)|last
5|first
5|last
(l|map("string"))|last
l|sort, strs|sort, strs|sort(case_sensitive=true), l|sort(reverse=true), strs|sort(true, true), people|sort(attribute="age")|map(attribute="name")|list
people[:3]|sort(attribute="age")|map(attribute="name")|list, people|sort(attribute="name")|map(attribute="name")|join, people|sort(attribute="city,name")|map(attribute="name")|join, people|sort(attribute="city", reverse=true)|map(attribute="name")|join, nested|sort, d|sort, "bca"|sort, (2, 1)|sort
mixed|sort
[1, "a"]|sort
[none, 1]|sort
[{"a": 1}, {"a": 2}]|sort
d|dictsort, d|dictsort(true), d|dictsort(by="value"), d|dictsort(false, "value", true), d|dictsort(reverse=true), {"b": 1, "B": 2, "a": 3}|dictsort
d|dictsort(by="x")
l|dictsort
{1: 2, "a": 3}|dictsort
l|min, l|max, strs|min, strs|max, strs|max(case_sensitive=true), people[:3]|min(attribute="age"), []|min is defined, "hello"|max, d|min, people[:3]|max(attribute="name")
[1, "a"]|min
5|min
l|sum, people[:3]|sum(attribute="age"), people[:3]|sum("age", 10), []|sum, [0.1, 0.2]|sum, [[1], [2]]|sum(start=[]), [true, 2]|sum
["a"]|sum
["a"]|sum(start="")
l|join, l|join(","), strs|join(" - "), people|join(", ", attribute="name"), ["a", 1, none, true, [1]]|join("|"), "abc"|join("."), d|join(","), []|join(","), l|join(1), l|join(d="x")
5|join
l|unique|list, [1, 1.0, true, "a", "A", "b"]|unique|list, ["a", "A"]|unique(true)|list, people|unique(attribute="city")|map(attribute="name")|list
[[1], [1]]|unique|list
l|unique
l|list, "abc"|list, d|list, (1, 2)|list, range(3)|list
5|list
l|batch(2)|list, l|batch(2, "x")|list, range(7)|batch(3)|list, []|batch(2)|list, l|batch(5, 0)|list
l|slice(2)|list, range(7)|slice(3)|list, range(7)|slice(3, "x")|list, []|slice(2)|list, [1]|slice(3, 0)|list
people|groupby("city")|list
people|groupby("city", case_sensitive=true)|map("first")|list, people|groupby("age", default=0)|map(attribute="grouper")|list, (people|groupby("city"))[0].list|length, (people|groupby("city"))[0].grouper, (people|groupby("city"))[0][0]
people|groupby("age")
l|map("string")|list, strs|map("upper")|list, people|map(attribute="name")|list, people|map(attribute="age", default=0)|list, ["a,b", "c"]|map("replace", ",", ";")|list, l|map("default", 1)|list, [" a "]|map("trim")|list, nested|map("first")|list, nested|map(attribute=0)|list, nested|map(attribute="1")|list, dd|map("length")|list
l|map("nofilter")|list
l|map|list
l|map(attribute="a", foo=1)|list
l|map(undefinedvar)|list
l|map("string")|length
l|map("string")|tojson
(l|map("string"))[0] is defined
l|select|list, [0, 1, "", "a", none]|select|list, [0, 1, ""]|reject|list, l|select("odd")|list, l|reject("odd")|list, l|select("greaterthan", 1)|list, l|select("in", [1, 2])|list, l|select(">", 2)|list, strs|select("equalto", "a")|list, strs|select("lower")|list
l|select("notest")|list
people|selectattr("age")|map(attribute="name")|list, people|selectattr("age", "defined")|map(attribute="name")|list, people|selectattr("name", "equalto", "Bo")|list, people|rejectattr("age")|map(attribute="name")|list, people|rejectattr("city", "eq", "X")|map(attribute="name")|list, people|selectattr("age", "undefined")|map(attribute="name")|list, [dd]|selectattr("x.y.z")|list|length, people|selectattr("city", "in", ["X"])|map(attribute="name")|list, people|selectattr("age", ">", 1)|list
people[:3]|selectattr("age", ">", 1)|map(attribute="name")|list
people|selectattr|list
people|selectattr(1)|list
[]|selectattr|list, none|select|list, undefinedvar|map("x")|list
5|select|list
(l|select("odd")) is defined, (l|select("odd")) is iterable, (l|select("odd")) is sequence, (l|select("odd")) is string, 1 if l|select("even") else 2, (l|select("even")|list|length) > 0
n|default("x"), undefinedvar|default("x"), undefinedvar|d("x"), ""|default("x"), ""|default("x", true), none|default("x"), none|default("x", true), undefinedvar|default, 0|default(5, boolean=true), undefinedvar|default(default_value=3), d.zz|default("q"), false|default("x", boolean=true)
"5"|int, "5.7"|int, " 5 "|int, "x"|int, "x"|int(3), "0x1f"|int(base=16), "1f"|int(0, 16), "0b11"|int(base=2), "0b11"|int(base=0), 5.9|int, -5.9|int, true|int, none|int, []|int, "1_000"|int, "1e3"|int, ""|int, "inf"|int, "nan"|int, "12345678901234567890"|int, "-7"|int, "+7"|int, "٣"|int, "010"|int(base=0), "10"|int(base=8), "z"|int(base=36)
"5.5"|float, "x"|float, "x"|float(1.5), "1e5"|float, "inf"|float, "nan"|float, "-Infinity"|float, " 2 "|float, "1_0.5"|float, 5|float, none|float, true|float, ".5"|float, "5."|float, "1e"|float, "."|float, "1__0"|float
-5|abs, 5|abs, -5.5|abs, true|abs
"a"|abs
2.5|round, 3.5|round, 2.567|round(2), 2.567|round(1, "ceil"), 2.567|round(1, "floor"), 2.4|round(0, "ceil"), 1234|round(-2), 1250|round(-2), 1350|round(-2), 5|round, 5|round(1), 2.675|round(2), -2.5|round, 1e20|round, 0.5|round, 1.5|round, 42|round(method="floor"), 42.55|round(1, "floor"), 1234.5678|round(-2), 5|round(1, "ceil"), true|round
2.5|round(1, "x")
"a"|round
1|filesizeformat, 0|filesizeformat, 999|filesizeformat, 1000|filesizeformat, 1024|filesizeformat(true), 1500000|filesizeformat, 123456789012|filesizeformat, "1000"|filesizeformat, 1.5|filesizeformat, 1e30|filesizeformat, -5|filesizeformat, 1048576|filesizeformat(binary=true)
"a"|filesizeformat
"%s-%s"|format(1, 2), "%(a)s"|format(a=1), "%d"|format(5), "x"|format, "%5.2f|"|format(2.0)
"%s"|format(1, a=2)
"a<b>&\"'"|e, "a<b>"|escape, "a<b>"|safe, "a<b>"|e|e, "a<b>"|e|forceescape, "a<b>"|forceescape, 5|e, none|e, ("<"|e) ~ "<", ("<"|safe) + "<", "<" + ("<"|safe), ("<"|e)|upper, "<"|safe|e, ("<a>"|e)|length, [("a"|safe)], ("a"|safe) is escaped, "a" is escaped, ("a"|safe) is string, (("%s"|safe) % "<"), ("{}"|safe).format("<"), ("<"|safe).join(["<", "a"|safe]), ("a<"|e).replace("a", "<"), ("<"|e)|string|e, ("<"|e)|tojson, ("a b"|safe).split(), ("ab"|safe)[0], ("<x>"|safe)|trim, ("<"|safe) * 2, ("a"|safe) == "a", "a" ~ ("<"|e)
("a&amp;b"|safe).unescape(), ("<b>x</b>"|safe).striptags(), ("{:>3}"|safe).format(5)
html|striptags, "<a>x</a> <!-- <b> -->y  z"|striptags, "a < b"|striptags, "<unclosed"|striptags, "a > b"|striptags
"a b&c=d/é?"|urlencode, {"a": 1, "b c": "é&"}|urlencode, [("a", 1), ("b", "x y")]|urlencode, 5|urlencode, "~_-."|urlencode, ""|urlencode, ["ab"]|urlencode
[1]|urlencode
{"class": "a b", "id": none, "x": 1, "y": undefinedvar, "q": "\"<"}|xmlattr, {"a": 1}|xmlattr(false), {}|xmlattr
{"a b": 1}|xmlattr
"a\nb\n\nc"|indent, "a\nb"|indent(2), "a\nb"|indent(2, true), "a\n\nb"|indent(2, blank=true), "a\nb"|indent("> "), "a\nb"|indent(width=1, first=true), "a"|indent, ""|indent, "a\n"|indent(2), "a\r\nb"|indent(1), "\n"|indent(2, true, true), "a\nb"|indent(0)
5|indent
"a b c"|replace(" ", "-"), "aaa"|replace("a", "b", 2), 5|replace(5, 6), "aaa"|replace("a", "b", count=1), "<a>"|replace("a", "b"), "abc"|replace("", "-")
"foo bar baz qux"|truncate(9), "foo bar baz qux"|truncate(9, true), "foo bar baz qux"|truncate(11), "foo bar baz qux"|truncate(9, false, "…"), "foo bar baz qux"|truncate(9, leeway=0), "foobarbazqux"|truncate(5, leeway=0), "short"|truncate(5), "foo bar baz"|truncate(length=7, end="", leeway=0), "é中文字符测试"|truncate(5, true, leeway=0)
"foo"|truncate(2)
5|truncate
"The quick brown fox jumps over the lazy dog"|wordwrap(10), "aaaaaaaaaaaaaaa bb"|wordwrap(5), "aaaaaaaaaaaaaaa bb"|wordwrap(5, false), "a\n\nb c"|wordwrap(3), "hello-world foo-bar"|wordwrap(7), "hello-world"|wordwrap(7, break_on_hyphens=false), "a b c d"|wordwrap(3, wrapstring="|"), "  lead and trail  "|wordwrap(8), ""|wordwrap, "x  y   z"|wordwrap(4), "supercalifragilistic-expialidocious is long"|wordwrap(12)
"foo bar,baz  qux_1 é"|wordcount, ""|wordcount, 5|wordcount
"visit http://x.com/a?b=c&d now"|urlize, "www.example.org"|urlize, "see example.com."|urlize, "mail me@example.com ok"|urlize, "(http://a.com/b)"|urlize, "<http://a.com>"|urlize, "http://longlonglong.com/path"|urlize(10), "http://a.com"|urlize(nofollow=true, target="_blank"), "http://a.com"|urlize(rel="x y"), "foo://bar"|urlize(extra_schemes=["foo:"]), "mailto:a@b.co"|urlize, "plain text <b>"|urlize, "ftp://x.com"|urlize, "http://localhost:80/x"|urlize, "a.b"|urlize, "x.net/y"|urlize
"<a>&'\""|tojson, "é中😀"|tojson, "é"|tojson(true), "é😀"|tojson(ensure_ascii=true), {"a": 1, "b": [1, 2.0, none, true], "c": {"d": "e"}}|tojson, {"b": 1, "a": 2}|tojson(sort_keys=true), [1, [2, {}], []]|tojson(indent=2), {"a": {"b": [1]}}|tojson(indent=4), {"a": 1}|tojson(indent=0), {"a": [1, 2]}|tojson(separators=(",", ":")), {"a": 1}|tojson(indent="\t"), [1]|tojson(indent=none), [1, 2]|tojson(indent=1, separators=("; ", " = ")), (1, 2)|tojson, 1e16|tojson, 1e-7|tojson, 1.0|tojson, "\x00\x1f\x7f\u2028\n\t\b\f\\/"|tojson, "\x7f"|tojson(true), {1: 2, none: 3, true: 4, 1.5: 5}|tojson, none|tojson, true|tojson, ("inf"|float)|tojson, ("nan"|float)|tojson, quote|tojson, [{"a": [{}]}, [[]]]|tojson(indent=2), {"k": "v"}|tojson(false, 2), {"a": 1}|tojson(indent=true), {"a": 1}|tojson(indent=-1)
{(1, 2): 3}|tojson
{1: 1, "a": 2}|tojson(sort_keys=true)
namespace(a=1)|tojson
range(3)|tojson
s.upper|tojson
d.keys()|tojson
"a"|tojson(separators=1)
quote, [quote], ["'"], ["\""], ["'\""], ["\\"], ["\x7f\xa0\xad\u0378"], ["中😀"], [""]
1.0, 1.5, 1e16, 1e15, 123456789012345680.0, 1e-4, 1e-5, 0.1, 1/3, 1e100, 5e-324, -0.0, 100.0, 1e22, 2.5e-8, ("inf"|float), ("-inf"|float), ("nan"|float)
[1.0, true, none, "a", (1,), {"a": none}], {"a": {"b": "c"}}, ((1, 2), [])
d is mapping, l is mapping, s is string, n is number, f is number, t is number, n is integer, t is integer, f is float, n is float, t is boolean, n is boolean, none is none, n is none, t is true, fa is false, 1 is true, l is sequence, d is sequence, s is sequence, n is sequence, l is iterable, n is iterable, d is iterable, range(3) is sequence, undefinedvar is sequence, undefinedvar is iterable, none is iterable, undefinedvar is mapping
n is odd, n is even, n is divisibleby 7, n is divisibleby(2), 7.0 is odd, neg is odd, true is odd
s is odd
n is divisibleby 0
n is defined, undefinedvar is defined, undefinedvar is undefined, n is undefined, d.zz is defined, d.a is defined
s is lower, "abc" is lower, "ABC" is upper, 5 is lower
n is callable, range is callable, s.upper is callable, namespace is callable, cycler is callable, undefinedvar is callable, d is callable
n is eq 7, n is equalto(7), n is ne 7, n is lt 8, n is le 7, n is gt 7, n is ge 7, n is lessthan 9, n is greaterthan 6, n is ==7, n is sameas 7, none is sameas none, l is sameas l, l is sameas [3, 1, 2], "a" is in "abc", 1 is in [1], 1 is not in [2], n is not defined, n is not none
n is gt "a"
"upper" is filter, "nope" is filter, "odd" is test, "nope" is test, 5 is filter
[1] is filter
n is nope
n|nope
n is defined is defined
n is defined and s is string, n is defined or x, n is not defined and n
n is none or n == 7, not n is none
n is divisibleby(7, 8)
n is odd(1)
s|upper(1)
s|trim(1, 2)
s|trim(foo=1)
s|default("a", default_value="b")
l|join(*[","]), l|join(**{"d": ","}), dict(*[[("a", 1)]], **{"b": 2})
l|join(*5)
l|join(**5)
range(*[1, 4])|list
s.split(*[","])
l|join(d=",", d=".")
raise_exception("boom")
raise_exception("line1\nline2\ttab")
raise_exception(5)
raise_exception(undefinedvar)
raise_exception()
strftime_now("%Y-%m-%d %H:%M:%S"), strftime_now("%d %b %Y"), strftime_now("%A %a %B %b %c %C %D %e %F %g %G %h %I %j %k %l %m %M %n %p %P %r %R %S %t %T %u %U %V %w %W %x %X %y %z %Z %%")
strftime_now("%-d %-m %-H %_d %0e %^a %#p %5d %-j %^B %#a %10Y %f %s|%Q|%")
strftime_now(5)
strftime_now("")
strftime_now("é %Y 中")
foo.bar
messages[0].role, messages[0]["content"], messages|length, messages[-1].tool_calls[0].arguments.y, messages[2].tool_calls[0]|tojson, messages[5] is defined, messages[0].nope is defined
messages[5].role
messages[0].nope.x
messages|map(attribute="role")|join(","), messages|selectattr("role", "equalto", "user")|map(attribute="content")|first, messages|selectattr("tool_calls")|list|length, messages|selectattr("tool_calls", "defined")|list|length, messages[1:]|length, messages[::-1][0].role
(messages|first).role, (messages|last)["role"], messages|map("tojson")|list|length
"" ~ messages[2]
n.foo is defined, n.foo
1.5.foo is defined
{"a": 1}["a"], [1, 2][0], (1, 2)[1], "abc"[1], {"a": [1]}.a[0]
"a.b".split(".")[1].upper()|lower ~ "!"
(1 + 2)|string ~ 3, 1 + 2|string|int
-1|abs, - 1|abs, (-1)|abs, -(1|abs), 2 ** 2|float
1 if n > 5 else 2 if n > 3 else 3
[x for x in l]
lambda: 1
{1, 2}
1 +
(1
[1
{"a" 1}
)
1 2
a b
@
$
!
1 ! 2
a?b
`x`
"a" is
x|
x.
x.1.2 is defined
x[
x[1,2] is defined
d[1, 2] is defined, {(1, 2): 3}[1, 2]
l[1:2, 3]
not
if
in
is
none.x.y
true.x is defined, True, False, None, none, true, false
TRUE is defined, NONE is defined
loop is defined, self is defined, caller is defined, varargs is defined
a.b.c.d is defined
"x" if undefinedvar is defined and undefinedvar.y else "z"
[l, l] | length, l | length + 1, l|length * 2 == 6
"%s" % ("a" if t else "b"), ("a", "b")[t], "yes" if "a" in d and d.a == 2
n in [1, 7] and n not in [2], not n in [1], n not in [1]
"a" ~ "b" == "ab", "a" ~ 1 + 2
1 ~ 2 * 3
s|wordcount + 1, s|upper|lower|title
"abc"|list|reverse|join, "abc"[::-1], range(10)|select("odd")|map("string")|join("+")
{"a": 1}|items|list, d|items|first, d|items|map("first")|list, undefinedvar|items|list
5|items|list
[1]|items|list
d|items
d|items|length
"a"|random, [1]|random, []|random is defined
l|random in l
(l|map("string"), 1)|length
{"a": 1}|pprint, [1, "a"]|pprint, "x"|pprint, none|pprint, {"b": 1, "a": {"d": 2, "c": 3}}|pprint
"abc"|pprint|length
[1]|string|length, none|string, 1.0|string, "a"|string, undefinedvar|string
"1,2,3".split(",")|map("int")|sum, "a-b_c"|replace("-", "_")|upper
"ab"|center(6) ~ "|", 5|center(4), "x"|center ~ "|"
"a,b;c"|replace(",", ";").split(";")
s.lower().replace("l", "1").split("o")[0].strip("h")
("a" "b").upper(), "a".join("xyz"), "".join(["a", "b"])|upper
l.0, l[0], l.1 + l.2, nested.1.1.0
1.__class__
d.items().__len__()
""|default("x", boolean=true)|upper
[1, 2, 3][1:]|first, [[1, 2], [3]]|sum(start=[])|join
{"a": {"b": 1}}["a"]["b"], {"a": {"b": 1}}.a.b, {"a": {"b": 1}}|attr("a") is defined
"é".encode("utf-8").decode("utf-8"), "x".encode().foo is defined
(l|join(",")).split(",")|map("int")|list == l
"\u00e9" == "é", "\x41" == "A", "é"|length, "😀"|length, "é"[0] == "é"
"a" < "B", "a"|upper < "B", "Z" < "a", "é" > "z", "中" > "é", "" < "a", [] < [1], () < (0,)
1 == 1 == 1, 1 < 2 == 2, 1 != 2 != 1
"5" * 2, 5 * "5", ["a"] * 3|int
n ** 2 ** 0, -n ** 2, 2 ** 62 - 1 > 0
2 ** 62 + (2 ** 62 - 1), -(2 ** 62) * 2
0.1 + 0.2, 1e16 + 1, 3 * 0.1, 1.1 - 1, 10 / 4, 10 // 4.0, 1e308 * 10, 5 / 2 * 2, 7 % 2.5, -7 // 2.0, 2 ** 0.5
"a" and "b", "" or "c", none and 1, [] or {}, 0 or 0.0 or "", undefinedvar or none
namespace() is defined, namespace().x is defined, namespace(a=[1]).a[0]
""""".strip().split("\n")

TEMPLATES = r'''
plain text
=====
{{ s }}{{n}}{{- s -}} {{ n }}
=====
a {%- if true -%} b {%- endif -%} c
=====
a
{% if true %}
b
{% endif %}
c
=====
  {% if true %}  x  {% endif %}  
  {%+ if true %} y {%+ endif +%}
z
=====
  {# comment #}
x {# c #} y
{#- c -#}
 z
{#+ c +#}
w
=====
{% raw %}{{ x }}{% endraw %}
{%- raw -%}  {% if %}  {%- endraw -%}  
  {% raw %}
 a
  {% endraw %}
b
=====
{{ "a" }}
{{ "b" }}

{% set x = 1 %}

{{ x }}
=====
{% for x in l %}{{ loop.index }}/{{ loop.length }}:{{ x }}{% if not loop.last %},{% endif %}{% endfor %}
=====
{% for x in l -%}
  {{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle("a", "b") }}{{ loop.changed(x > 1) }}
{% endfor %}
=====
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in d|dictsort %}{{ k }}{% endfor %}{% for k in d %}{{ k }}{% endfor %}
=====
{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
=====
{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}
=====
{% for a, b in [(1,)] %}{{ a }}{% endfor %}
=====
{% for a, b in [1] %}{{ a }}{% endfor %}
=====
{% for a, b in ["xy", "zw"] %}{{ b }}{{ a }}{% endfor %}
=====
{% for x in [] %}x{% else %}none{% endfor %}{% for x in undefinedvar %}x{% else %}none{% endfor %}
=====
{% for x in none %}x{% endfor %}
=====
{% for x in 5 %}x{% endfor %}
=====
{% for x in l if x > 1 %}{{ loop.index }}{{ x }}{{ loop.length }}{% else %}no{% endfor %}{% for x in l if x > 10 %}x{% else %}none{% endfor %}
=====
{% for x in l if x is odd %}{{ x }}{% if loop.first %}F{% endif %}{% if loop.last %}L{% endif %}{% endfor %}
=====
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% else %}E{% endfor %}
=====
{% for x in [1] %}{% continue %}{% else %}E{% endfor %}{% for x in [1] %}{% break %}{% else %}F{% endfor %}
=====
{% for x in [1, 2] %}{% for y in [1, 2] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}
=====
{% break %}
=====
{% if true %}{% continue %}{% endif %}
=====
{% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
=====
{% for x in nested recursive %}{% if x is iterable %}[{{ loop(x) }}]{% else %}{{ loop.depth }}{{ x }}{% endif %}{% endfor %}
=====
{% for x in [{"n": 1, "c": [{"n": 2, "c": [{"n": 3}]}, {"n": 4}]}] recursive %}{{ loop.index }}.{{ x.n }}{% if x.c %}({{ loop(x.c) }}){% endif %}{% else %}-{% endfor %}
=====
{% for x in [1] %}{{ loop([1]) }}{% endfor %}
=====
{% for x in l %}{{ loop.foo is defined }}{{ loop }}{% endfor %}
=====
{% for x in l %}{% set y = x %}{% endfor %}{{ y is defined }}{% set z = 1 %}{% for x in l %}{% set z = z + x %}{{ z }}{% endfor %}{{ z }}
=====
{% set ns = namespace(total=0, items=[]) %}{% for x in l %}{% set ns.total = ns.total + x %}{% set ns.items = ns.items + [x * 2] %}{% endfor %}{{ ns.total }} {{ ns.items }}
=====
{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}{{ ns }}
=====
{% set d.x = 1 %}
=====
{% set undefinedvar.x = 1 %}
=====
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, %}{{ c }}{% set (e, f2) = [3, 4] %}{{ e }}{{ f2 }}
=====
{% set a, b = 1 %}
=====
{% set x %}block {{ n }} text{% endset %}{{ x }}|{{ x|length }}{% set y | upper | trim %}  abc {{ n }} {% endset %}{{ y }}
=====
{% set true = 1 %}
=====
{% set 1 = 2 %}
=====
{% set "a" = 2 %}
=====
{% set a.b.c = 2 %}
=====
{% set x = 1 if false %}{{ x is defined }}{{ x }}
=====
{% if false %}{% set q = 1 %}{% endif %}{{ q is defined }}{% if true %}{% set q = 2 %}{% endif %}{{ q }}
=====
{% if false %}{% set n = 1 %}{% endif %}{{ n }}{% if false %}{% set s = 1 %}{% else %}{% set s = 2 %}{% endif %}{{ s }}
=====
{{ n }}{% set n = n + 1 %}{{ n }}
=====
{% macro m(a, b=2, c="x") %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(1, c="y") }}|{{ m(a=5) }}|{{ m() }}
=====
{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}{{ m() }}
=====
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
=====
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
=====
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
=====
{% macro m(a, b) %}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1).x }}
=====
{% macro m(a=n, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m() }}{{ m(1) }}
=====
{% macro m(a=1, b) %}{% endmacro %}
=====
{% macro m(a, a) %}{% endmacro %}
=====
{% macro m() %}x{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.caller }}{{ m }}{{ m is callable }}{{ m() is string }}
=====
{% macro fact(k) %}{% if k <= 1 %}1{% else %}{{ k * fact(k - 1)|int }}{% endif %}{% endmacro %}{{ fact(5) }}
=====
{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}body {{ n }}{% endcall %}
=====
{% macro m() %}[{{ caller(1, 2) }}]{% endmacro %}{% call(a, b) m() %}{{ a }}-{{ b }}{% endcall %}
=====
{% macro m() %}[{{ caller is defined }}{{ caller }}]{% endmacro %}{{ m() }}
=====
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
=====
{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}
=====
{% call s.upper() %}y{% endcall %}
=====
{% call s %}y{% endcall %}
=====
{% macro m(caller) %}{{ caller() }}{% endmacro %}{% call m() %}y{% endcall %}
=====
{% macro m(caller=none) %}{{ caller() if caller else "none" }}{% endmacro %}{% call m() %}y{% endcall %}{{ m() }}
=====
{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}
=====
{% macro m() %}{{ n }}{% set n = 5 %}{{ n }}{% endmacro %}{{ m() }}{{ n }}
=====
{% macro m() %}{{ later }}{% endmacro %}{{ m() }}{% set later = 1 %}{{ m() }}
=====
{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}
=====
{% macro outer() %}{% macro inner(a) %}<{{ a }}>{% endmacro %}{{ inner(1) }}{{ inner(n) }}{% endmacro %}{{ outer() }}
=====
{% filter upper %}abc {{ s }}{% endfilter %}{% filter replace("a", "b")|trim %}  aaa {% endfilter %}
=====
{% filter nope %}x{% endfilter %}
=====
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}
=====
{% with n = n + 1 %}{{ n }}{% with n = n + 1 %}{{ n }}{% endwith %}{{ n }}{% endwith %}{{ n }}
=====
{% with a, b = (1, 2) %}{{ a }}{{ b }}{% endwith %}{% with a = 1, b = a %}{{ b is defined }}{% endwith %}
=====
{% autoescape true %}{{ "<" }}{{ "<"|safe }}{{ "<" ~ "&" }}{{ (s|safe) ~ "&" }}{% set x %}<b>{% endset %}{{ x }}{{ ["<", "a"|safe]|join("&") }}{{ "<"|replace("<", ">") }}{% macro m() %}<i>{% endmacro %}{{ m() }}{{ "<a>"|upper }}{% endautoescape %}{{ "<" }}
=====
{% autoescape false %}{{ "<" }}{% endautoescape %}
=====
{% print n %}{% print n, s %}
=====
{% do l.append(1) %}
=====
{% generation %}text {{ n }}{% set q = 1 %}{% endgeneration %}{{ q is defined }}
=====
{% for x in l %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}
=====
{% include "x" %}
=====
{% if false %}{% include "x" %}{% endif %}ok
=====
{% extends "x" %}
=====
{% import "x" as y %}
=====
{% from "x" import y %}
=====
{% if n > 5 %}a{% elif n > 3 %}b{% else %}c{% endif %}{% if n < 5 %}a{% elif n > 3 %}b{% elif true %}d{% else %}c{% endif %}{% if not n %}a{% elif not s %}b{% else %}c{% endif %}
=====
{% if %}{% endif %}
=====
{% if true %}
=====
{% endif %}
=====
{% if true %}{% endfor %}
=====
{% for x in l %}{% endif %}
=====
{% for %}{% endfor %}
=====
{% for x l %}{% endfor %}
=====
{% for loop in l %}{% endfor %}
=====
{% for x in l %}{% set loop = 1 %}{% endfor %}
=====
{% nope %}
=====
{% 5 %}
=====
{% %}
=====
{{ }}
=====
{{ s
=====
{{ s }
=====
{% if true
=====
{# unclosed
=====
{% raw %} unclosed
=====
{{ "a }}
=====
{{ s }} }} %} #}
=====
{ { s } } {s} {%s
=====
{{ {"a": {"b": 1}} }}{{ {} }}{{ {"a": 1}["a"] }}
=====
{{ s|nope }}
=====
{% if false %}{{ s|nope }}{% endif %}ok
=====
{{ s|nope if false else "ok" }}
=====
{% if true %}{{ s|nope }}{% endif %}
=====
{% if false %}{% for x in l %}{{ x|nope }}{% endfor %}{% endif %}ok
=====
{{ s is nope }}
=====
{% set c = cycler("a", "b", "c") %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.next() }}{{ c.pos }}{{ c.items }}
=====
{% set j = joiner("; ") %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}
=====
{% for x in l %}{{ loop.changed(x // 2) }} {% endfor %}{% for x in l %}{{ loop.cycle() }}{% endfor %}
=====
{% set g = l|map("string") %}{{ g|list }}{{ g|list }}
=====
{% set g = d|items %}{% for k, v in g %}{{ k }}{% endfor %}{% for k, v in g %}{{ k }}{% endfor %}
=====
{% for x in l|map("string") %}{{ x }}{% if not loop.last %},{% endif %}{{ loop.length }}{% endfor %}
=====
{% for x in l|reverse %}{{ x }}{{ loop.length }}{{ loop.revindex }}{% endfor %}
=====
{% for c in u %}{{ c }}|{% endfor %}
=====
{% for g in people|groupby("city") %}{{ g.grouper }}:{{ g.list|map(attribute="name")|join("+") }};{% endfor %}{% for k, v in people|groupby("city") %}{{ k }}{{ v|length }}{% endfor %}
=====
{% for row in range(7)|batch(3, "-") %}{% for x in row %}{{ x }}{% endfor %}/{% endfor %}{% for col in range(7)|slice(3) %}{{ col }}{% endfor %}
=====
{% set x = "a" %}{% if x == "a" %}{% set x = "b" %}{% if x == "b" %}{% set x = "c" %}{% endif %}{% endif %}{{ x }}
=====
{% for i in range(3) %}{% for j in range(3) %}{{ loop.index }}{{ i }}{{ j }} {% endfor %}{{ loop.index }}{% endfor %}
=====
{% for i in range(3) %}{% set outer = loop %}{% for j in range(2) %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}
=====
a{{ "" }}
{% if true -%}
   b
{%- else -%}
   c
{%- endif %}
 d
{%- if false %} e {% endif -%}
 f
=====
{%- for m in messages %}
    {%- if m.role == "system" -%}
        {{- "<<" + m.content + ">>" }}
    {%- elif m.role == "user" %}
        {{- "[" ~ m.content|trim ~ "]" }}
    {%- else -%}
        {%- for tc in m.tool_calls %}{{ tc.name }}({{ tc.arguments|tojson }}){% endfor %}
    {%- endif -%}
{%- endfor %}
=====
x
{%if true%}y{%endif%}
{{"a"}}{{1}}
=====
{% set x = [1,
2,
3] %}{{ x }}{# multi
line #}
{{ x
| length }}
=====
{%- set ns = namespace(found=false) -%}
{%- for m in messages if m.role == "user" -%}{%- set ns.found = true -%}{%- endfor -%}
{{ ns.found }}
=====
{% set a = "x" ~ 
"y" %}{{ a }}
=====
line one
	{%- if true %}	tabbed{% endif %}
	{% if true %}lstrip{% endif %}
=====
   {{ s }}   {% if true %}   {{ s }}   {% endif %}   
=====
{% for x in [1,2] %}
  {{ x }}
{% endfor %}
=====
{% for x in [1,2] +%}
  {{ x }}
{%+ endfor +%}
end
=====
{% set x = {"a": 1} %}{% for k, v in x.items() %}{{ k }}{{ v }}{% endfor %}{{ x.a }}{{ x["a"] }}
=====
{% macro render(m, depth=0) -%}{{ "  " * depth }}{{ m }}{% if depth < 2 %}
{{ render(m ~ "!", depth + 1) }}{% endif %}{%- endmacro %}{{ render("a") }}
=====
{{ s ~ n }}{{ s + n|string }}{{ [s, n]|join }}{{ "%s%s" % (s, n) }}{{ "{}{}".format(s, n) }}
=====
{% set x = s if false else n %}{{ x }}{% set y = (s if false) %}{{ y is undefined }}{{ y }}
=====
{% if messages[0]["role"] == "system" %}{% set loop_messages = messages[1:] %}{% set system = messages[0].content %}{% else %}{% set loop_messages = messages %}{% endif %}{{ loop_messages|length }}{{ system }}
=====
{% if not bos_token is defined %}{% set bos_token = "B" %}{% endif %}{{ bos_token }}
=====
{% if tools is not none and tools %}T{% else %}N{% endif %}{{ tools is none }}{% if tools %}x{% endif %}{{ tools is iterable }}
=====
{% set content = messages[1].content %}{% if content is string %}S{% elif content is iterable %}I{% endif %}{{ content[:2] }}{{ content|length }}
=====
{% if add_generation_prompt %}A{% endif %}{{ add_generation_prompt }}{{ add_generation_prompt is defined }}
=====
{{ messages | selectattr("role", "equalto", "user") | list | length }}{% set u2 = messages | selectattr("role", "in", ["user", "system"]) | list %}{{ u2 | length }}
=====
{{ raise_exception("Conversation roles must alternate") if messages|length > 2 }}
=====
{% if messages[0].role != "user" %}{{ raise_exception("bad role: " ~ messages[0].role) }}{% endif %}
=====
{% for x in range(3) %}{% if loop.first %}{% set first = x %}{% endif %}{{ first is defined }}{% endfor %}
=====
{% set x = 1 %}{% for i in [1] %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}{% endfor %}{{ x }}
=====
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + 10 %}{{ x }};{% endfor %}{{ x }}
=====
{% for i in [1, 2] %}{% if i == 1 %}{% set y = "set" %}{% endif %}{{ y is defined }}{{ y }};{% endfor %}
=====
{% block a %}x{% endblock %}
=====
{% trans %}x{% endtrans %}
=====
{% set x = namespace(a=1) %}{% set y = x %}{% set y.a = 2 %}{{ x.a }}{{ x == y }}{{ x is sameas y }}
=====
{% macro m(ns) %}{% set ns.a = 5 %}{% endmacro %}{% set x = namespace(a=1) %}{{ m(x) }}{{ x.a }}
=====
{% macro m(x) %}{% for i in x %}{{ loop.index }}{{ i }}{% endfor %}{% endmacro %}{% for q in l %}{{ m([q]) }}{{ loop.index }}{% endfor %}
=====
{{ varargs }}{{ kwargs }}{{ caller }}{{ loop }}{{ self is defined }}
=====
{{ "a" if 1 }}{{ "b" if 0 }}{{ ("c" if 0)|default("dflt") }}
=====
{{ ("c" if 0).x }}
=====
{%- set x -%}   trimmed   {%- endset -%}[{{ x }}]
=====
{% set x | indent(2) %}
a
b
{% endset %}{{ x }}
=====
{{ dict(a=1)|tojson }}{{ dict(a=1).a }}{{ dict(a=1, **{"b": 2}).items()|list }}
=====
{% for k in {"x": 1, "y": 2} %}{{ k }}{% endfor %}{% for k in {"x": 1, "y": 2}.values() %}{{ k }}{% endfor %}{% for t in {"x": 1}.items() %}{{ t }}{{ t[0] }}{% endfor %}
=====
{%- if "abc" in s or "World" in s -%}yes{%- endif -%}{%- if s.startswith("He") and not s.endswith("x") -%}yes{%- endif -%}
=====
{{ messages[1].content.split("<b>")[-1].split("</b>")[0].strip("&\"") }}
=====
{% for x in l %}{{ x }}{{ "," if not loop.last else "." }}{% endfor %}{% for x in l %}{{ loop.index is divisibleby 2 }}{% endfor %}
=====
{% for x in l %}{% for y in l if y != x %}{{ x }}{{ y }}{{ loop.last }} {% endfor %}{% endfor %}
=====
{% for x in l if loop is defined %}{{ x }}{% endfor %}
=====
{% for n in l if n > 1 %}{{ n }}{% endfor %}{{ n }}
=====
{% for x in s.split(", ") %}{{ loop.previtem if loop.previtem is defined else "-" }}{{ x }}{{ loop.nextitem is defined }}{% endfor %}
=====
{{ loop.index }}
=====
{% set f = "upper" %}{{ [s]|map(f)|first }}{{ s|attr("lower")() }}
=====
{% filter indent(2, true) %}a
b{% endfilter %}
=====
{% call(x) outer(1) %}{% endcall %}
=====
{% macro list_items(items) %}{% for i in items %}<{{ caller(i) }}>{% endfor %}{% endmacro %}{% call(item) list_items(l) %}{{ item }}{{ loop is defined }}{% endcall %}
=====
{% macro a() %}A{{ caller() }}{% endmacro %}{% macro b() %}B{{ caller() }}{% endmacro %}{% call a() %}{% call b() %}x{% endcall %}{% endcall %}
=====
{% set m = namespace(f=none) %}{% macro g(x) %}g{{ x }}{% endmacro %}{% set m.f = g %}{{ m.f(1) }}
=====
{% for x in [[1, 2], [3]] %}{% for y in x %}{{ y }}{% endfor %}{% if loop.nextitem %}+{{ loop.nextitem[0] }}{% endif %}{% endfor %}
=====
{{ "\\n" }}{{ '\'' }}{{ "\"" }}{{ "a\
b" }}
=====
{%- macro x(a,b=[],c={}) -%}{{ a }}{{ b }}{{ c }}{%- endmacro -%}{{ x(1) }}{{ x(1, [2], {"a": 3}) }}
=====
{% if n is defined and n is number and n > 3 and (s or t) and not none %}ok{% endif %}{% if (n) %}ok{% endif %}{% if(n)%}ok{% endif %}
=====
{% for x in (1, 2, 3) %}{{ x }}{% endfor %}{% for x in 1, 2, 3 %}{{ x }}{% endfor %}{% for x in "ab" ~ "c" %}{{ x }}{% endfor %}
=====
{% for x, in [[1], [2]] %}{{ x }}{% endfor %}
=====
{% for x.y in l %}{% endfor %}
=====
{% for x in l recursive if x %}{% endfor %}
=====
{% for x in l if x > 1 recursive %}{{ x }}{% endfor %}
=====
{% set x = 5 %}{% set x = x * 2 %}{{ x }}{% set x = x|string + "!" %}{{ x }}
=====
{{ 1 }}{{ 2 -}}
   {{- 3 }} {{ 4 }}
{{- 5 -}}
=====

leading newline
=====
trailing newlines


=====
{{ s }}

=====
{% if true %}x{% endif %}

=====
a{% set q = 1 %}
b{% set q = 1 -%}
c
{%- set q = 1 %}
d
'''.strip("\n").split("\n=====\n")


def snippets():
    for e in EXPRESSIONS:
        yield "{{ " + e + " }}", VALUES
    for e in EXPRESSIONS:
        if "inf" in e or "e300" in e or "e308" in e:
            continue  # Jinja folds constants into Python source, where inf is no number
        if ", " in e and "\n" not in e and e.count("(") == e.count(")"):
            yield "{% set all = [" + e + "] %}{% for each in all %}{{ each }}|{% endfor %}", VALUES
    for t in TEMPLATES:
        yield t, VALUES
