#!/usr/bin/env python3
"""Writes data/expectations.json: what transformers renders for the templates below.

    python3 tests/chat/make_expectations.py      # needs transformers 5.24 and jinja2

The templates are in the spirit of real ones and cover what Jinja has: expressions, filters, tests, methods, loops, macros,
white space. An entry is [template, expected] or [template, null, error]; all share MESSAGES and VARIABLES.

Not among them, as they differ: the repr of what `escape` and `safe` give, which Jinja shows as Markup('…') within lists and
tuples; generators that are printed whole, such as `{{ 5 | items }}`, whose repr has an address (here: an error, or a list).
"""
import json
import pathlib

from transformers.utils.chat_template_utils import render_jinja_template

MESSAGES = [
    {"role": "system", "content": "  You are a Böt.\nBe brief. "},
    {"role": "user", "content": "Hello <b>&\"world\"</b> 你好 👩‍🚀"},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHi!", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2.5, "z": [True, None, "x\n"]}}}]},
    {"role": "tool", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "name": "add"},
    {"role": "user", "content": "Bye", "n": 7},
]
VARIABLES = {
    "bos_token": "<s>", "eos_token": "</s>", "n": 5, "x": 2.5, "neg": -7, "big": 12345678901234, "flag": True, "nothing": None,
    "words": ["pear", "Apple", "fig", "apple"], "nums": [3, 1, 2], "d": {"b": 2, "a": 1, "items": 3, "C": 0}, "nested": {"a": {"b": [10, 20]}},
    "s": "The quick-brown (fox) jumps", "empty": "", "html": "<a href='x'>&</a>", "multi": "a\nb\n\nc",
    "rows": [{"k": "x", "v": 1}, {"k": "Y", "v": 2}, {"k": "x", "v": 3}],
    "children": [{"n": "a", "c": [{"n": "b", "c": []}, {"n": "d", "c": [{"n": "e", "c": []}]}]}],
}

EXPRESSIONS = r"""
1 + 2 * 3 - 4 / 2
7 // 2, -7 // 2, 7 % 3, -7 % 3, 7 % -3, 2 ** 10, 2 ** -1, 2 ** 3 ** 2, -2 ** 2
7.5 // 2, -7.5 % 2, 1e3, 1e16, 1e15, 1.5e-7, 0.1 + 0.2, 100000.0, 1e22, 3.0, 12345678.9
1_000, 0x1f, 0b101, 0o17, 1_0.5
1 / 3, 10 / 5, 5 // 2.0
1 == 1.0, true == 1, '1' == 1, none == false, [1, 2] == [1, 2], {'a': 1} == {'a': 1}, (1,) == [1]
1 < 2 < 3, 3 > 2 > 2, 'a' < 'b', [1, 2] < [1, 3], 1 != 2, 2 >= 2, 1 <= 0
'a' ~ 1 ~ none ~ true ~ 2.0 ~ undefined_thing
not 1 == 2, not true and false, true or false and false, 1 and 2, 0 or 'x', none or 0
'ell' in 'hello', 3 in [1, 2], 'a' in d, 'q' not in d, 1 in (1, 2), 'x' in undefined_thing
'yes' if flag else 'no', 'a' if false, ('b' if false) is undefined, 1 if 0 else 2 if 0 else 3
[1, 2, 3][0], [1, 2, 3][-1], [1, 2, 3][1:], [1, 2, 3][::-1], 'hello'[1:3], 'hello'[::-1], 'hello'[-3:], (1, 2, 3)[:2]
'hello'[10], [1][5] is undefined, 'hello'[1:10:2], [1, 2, 3, 4][-100:100], [1, 2, 3][2:0:-1]
d.a, d['a'], d.b + d['b'], d.items is callable, d['items'], nested.a.b[1], nested.a.b.0
{'a': 1, 2: 'b', none: true, 'q"\'': "it's"}, [1, 'a', 1.0, none, true], (1, 2), (1,), ()
'\n\t\\\'\"\x41\u00e9\U0001F600\101', "a" 'b'
'é' ~ 'ü' , 'it\'s', ["it's", 'say "x"', '\x00\x1b\u2028é', 'a\\b']
"%s-%d-%5.2f-%x-%r" % ('a', 5, 3.14159, 255, 'q'), "%s" % 5, "%(a)s" % d, "100%%" % (), "%05d|%-5s|%+d" % (42, 'ab', 3), '%e' % 12345.678, '%g' % 0.0001
'{} {1}'.format if false else 'x'
'{} and {}'.format(1, 'b'), '{0}{1}{0}'.format('a', 'b'), '{x:>5}|{y:<5}|{z:^5}'.format(x='a', y='b', z='c'), '{:.2f} {:05d} {:,}'.format(3.14159, 42, 1234567), '{{}}'.format(), '{!r}'.format('a'), '{0[a]}'.format(d), '{:x} {:#x} {:b} {:+d} {:e} {:%}'.format(255, 255, 5, 5, 12345.6789, 0.25)
s.upper(), s.lower(), s.title(), s.swapcase(), s.capitalize(), 'ß'.upper(), 'ÀÉ'.lower(), 'straße'.upper()
s.split(), s.split(' ', 1), 'a,b,,c'.split(','), s.rsplit(' ', 1), '  a  b '.split(), 'a-b'.partition('-'), 'a-b-c'.rpartition('-'), 'abc'.partition('x'), ' a b  c '.split(none, 1), ' a b  c '.rsplit(none, 1)
'  x '.strip(), 'xxaxx'.strip('x'), '  x '.lstrip() ~ '|', '  x '.rstrip() ~ '|', '\n\na\n'.strip('\n'), 'abcba'.strip('ab')
s.startswith('The'), s.endswith('jumps'), s.startswith(('a', 'T')), s.find('quick'), s.find('zzz'), s.rfind('o'), s.count('o'), s.index('q'), 'aaa'.count('aa'), 'abc'.find('c', 1), 'abc'.find('a', 1), 'abc'.startswith('b', 1)
s.replace('o', '0'), s.replace('o', '0', 1), 'aaa'.replace('a', 'b', 2), 'abc'.replace('', '-'), 'x'.join(['a', 'b']), ''.join(words), 'a\nb\r\nc'.splitlines(), 'a\nb\n'.splitlines(true), 'ab'.removeprefix('a'), 'ab'.removesuffix('b')
'a'.ljust(3, '.'), 'a'.rjust(3), 'a'.center(4, '*'), 'ab'.center(5, '*'), '42'.zfill(5), '-42'.zfill(5), 'a\tb'.expandtabs(4)
'abc'.isalpha(), '12'.isdigit(), 'a1'.isalnum(), ' '.isspace(), 'Ab'.istitle(), 'AB'.isupper(), 'ab'.islower(), ''.isalpha(), '½'.isnumeric(), '²'.isdigit(), 'é'.isascii(), 'a_1'.isidentifier(), 'a b'.isprintable()
d.get('a'), d.get('zz'), d.get('zz', 5), d.keys() | list, d.values() | list, d.copy(), d.items() | list, d.keys(), d.values(), nested.items()
words.index('fig'), words.count('apple'), (1, 2, 2).count(2), words.copy()
words | sort, words | sort(reverse=true), words | sort(case_sensitive=true), nums | sort, rows | sort(attribute='v', reverse=true) | map(attribute='v') | list, rows | sort(attribute='k,v') | map(attribute='v') | join
d | dictsort, d | dictsort(true), d | dictsort(false, 'value'), d | dictsort(reverse=true)
words | unique | list, words | unique(true) | list, nums | min, nums | max, [] | max is undefined, words | max, rows | max(attribute='v')
words | join(', '), words | join, rows | join('-', attribute='k'), [1, none, true] | join('|'), 'abc' | join('.')
words | first, words | last, [] | first, 'abc' | first, words | length, 'äöü' | length, d | count, none | default('x'), undefined_thing | default('x'), '' | default('x', true), undefined_thing | d, nested.q.z is defined if false else 1
words | reverse | list, 'äbc' | reverse, nums | list, 'abc' | list, d | list, d | items | list, range(5) | list, range(1, 10, 3) | list, range(3, 0, -1) | list, range(3), range(1,2,2)
nums | sum, rows | sum(attribute='v'), rows | sum('v', 10), nums | batch(2) | list, nums | batch(2, 'x') | list, nums | slice(2) | list, range(7) | slice(3, 'f') | list
rows | groupby('k') | list, rows | groupby('k', case_sensitive=true) | list
rows | selectattr('v', 'gt', 1) | list, rows | rejectattr('v', 'gt', 1) | list, rows | selectattr('k', 'equalto', 'x') | map(attribute='v') | list, nums | select('odd') | list, nums | reject('odd') | list, [0, 1, ''] | select | list, words | map('upper') | list, rows | map(attribute='q', default='?') | list, words | map('replace', 'p', 'b') | list, rows | selectattr('k') | list | length
s | upper, s | lower, s | title, s | capitalize, s | trim, '  x ' | trim, 'xxaxx' | trim('x'), s | replace('o', '0'), s | replace('o', '0', 1), 5 | string, s | wordcount, 'a' | center(5), s | truncate(12), s | truncate(12, true), s | truncate(10, false, '…', 0), html | striptags if false else 1, '<b>x</b>  y' | striptags
multi | indent, multi | indent(2, true), multi | indent(2, false, true), multi | indent('> '), 'a/b ü&' | urlencode, '%s!' | format('x'), '%(a)s' | format(a=1)
'42' | int, 'x' | int, 'x' | int(7), '42.9' | int, 3.9 | int, -3.9 | int, '0x1f' | int(base=16), none | int, true | int, '1_0' | int, ' 5 ' | int, '3.5' | float, 'x' | float, 'x' | float(1.5), 5 | float, 'inf' | float, '1e3' | float
2.5 | round, 3.5 | round, 2.675 | round(2), 2.1 | round(method='ceil'), 2.9 | round(method='floor'), 1234.5 | round(-2), 5 | round, 2.55 | round(1, 'floor'), -3 | abs, -2.5 | abs
d | tojson, nested | tojson(indent=2), rows | tojson(separators=(',', ':')), d | tojson(sort_keys=true), 'é\n"\\\u2028\x7f' | tojson, 'é👩' | tojson(ensure_ascii=true), [1.0, 1e16, 0.1, none, true, -0.0] | tojson, {1: 2, none: 3, true: 4, 1.5: 5} | tojson, [] | tojson(indent=4), {} | tojson, [[], {}] | tojson(indent=1), d | tojson(indent='\t'), (1, 2) | tojson
1 is odd, 2 is even, 9 is divisibleby 3, 1 is number, 1.0 is float, 1 is integer, true is integer, true is boolean, true is number, 'a' is string, d is mapping, words is sequence, d is sequence, 'a' is iterable, 5 is iterable, none is none, x is defined, zz is undefined, zz is not defined, true is true, 1 is true, false is false, 'a' is lower, 'A' is upper, 1 is sameas 1, none is sameas none, 1 in [1] is true, 3 is in [3], 1 is eq 1, 1 is ne 2, 2 is gt 1, 1 is lt 2, 2 is ge 2, 2 is le 2, 1 is equalto 1, range is callable, 'upper' is filter, 'odd' is test, words is not string
words is iterable and words is not mapping, 'x' is string or false, not words is string, n is divisibleby(5)
-n | abs, -(n) | abs, n + -1, +n, - - n
dict(a=1, b=2), dict([('a', 1)]), dict(d, z=9) | length, namespace(a=1).a, joiner('|')() ~ 'x'
'abc' * 2, [1] * 3, 2 * 'ab', [1] + [2], (1,) + (2,), true + 1, 'a' * 0, 'a' * -1
9007199254740993, 9223372036854775807, -9223372036854775807 - 1, big * 1000, 10 ** 18
9007199254740993 == 9007199254740992.0, 1 < 1.5, 2 > 1.5, 1e300 * 1e10
messages[-1].role, messages[0]['content'] | trim, messages | length, messages[2].tool_calls[0].function.arguments | tojson, messages[3].content | map(attribute='text') | join(' ')
messages[2].content.split('</think>')[-1].lstrip('\n'), messages[2].content.split('<think>')[-1].split('</think>')[0].strip()
messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list, messages | map(attribute='role') | join(',')
(messages | selectattr('role', 'eq', 'user') | list)[-1].content, messages[1:] | length, messages[::2] | map(attribute='role') | list
messages[0] == messages[0], messages[0].content is string, messages[3].content is not string, messages[4].n + 1
strftime_now('%Y-%m-%d'), strftime_now('%d %b %Y'), strftime_now('%A %j %y %% %H:%M')
words | tojson | length, (1, 'a') | string, {'a': (1,)} | string, 1.0 | string ~ 'x', [[1], {'a': none}] | string
'a' if n > 3 and s else 'b', (n, x) == (5, 2.5), n in nums or n == 5, not n
"a" "b" | upper, ('a' ~ 'b') | upper, 'a' ~ 'b' | upper
d.get, none.x is undefined if false else 'ok'
'%c%c' % ('a', 98), '%5s|%.2s|%%' % ('ab', 'xyz'), '%i' % 3.99, '%X' % 255, '%o' % 8, '%s %s' % ([1], {'a': 2})
'A-B_c d'|title, 'hello world'|title, "it's" | title, 'x.y' | title, "it's".title()
[3, 1] | sort | first, [[2, 'b'], [1, 'c']] | sort, ['b', 'A'] | min, 'bca' | sort | join
'a b'.split(sep=' ', maxsplit=1), 'abc'.replace('b', 'x', -1), 'Ab' 'c'
[x for x in nums] if false else 1
""".strip().split("\n")

TEMPLATES = [
    "{{ html | escape }}{{ html | e }}{{ html | safe }}{{ html | forceescape }}{{ html | e | upper }}",
    "a{% raw %}",
    "{% for m in messages %}\n  {{ m.role }}\n{% endfor %}\nend\n",
    "{% for m in messages -%}\n  {{ m.role }}\n{%- endfor %}\nend\n\n",
    "  {% if true %}\n x {% endif %}  \n  {# c #}\n y\n  {%+ if true %}z{% endif +%}\nw",
    "a {{- ' b ' -}} c\n{{ 'x' }}\n\n{%- if true -%}\n  y\n{%- endif -%}\n z",
    "\r\na\r\n{% if true %}\r\nb\r{% endif %}\r\nc\r\n",
    "x{% raw %}{{ a }} {% if %}\n{% endraw %}\ny{% raw -%}  z  {%- endraw %}!",
    "{#- a -#}  b  {#- c #}\n{# d\n e #}f",
    "a{{ '\n' }}b{{ \"c\" }}\n{{ 'd' }}",
    "{% set x = 1 %}{% for i in nums %}{% set x = x + i %}{{ x }},{% endfor %}{{ x }}",
    "{% set ns = namespace(x=0, l=[]) %}{% for i in nums %}{% set ns.x = ns.x + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.x }}{{ ns.l }}{{ ns.q is defined }}",
    "{% for i in nums %}{{ loop.index }}/{{ loop.length }}/{{ loop.first }}/{{ loop.last }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.index0 }}/{{ loop.depth }}/{{ loop.depth0 }};{% endfor %}",
    "{% for i in nums %}{{ loop.previtem }}-{{ i }}-{{ loop.nextitem }}|{{ loop.cycle('a', 'b') }}|{{ loop.changed(i > 1) }};{% endfor %}",
    "{% for i in [] %}x{% else %}none{% endfor %}{% for i in nums if i > 5 %}x{% else %}none{% endfor %}{% for i in nums if i > 1 %}{{ i }}:{{ loop.index }}/{{ loop.length }} {% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in d | dictsort %}{{ k }}{{ v }}{% endfor %}{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for c in children recursive %}{{ loop.depth }}{{ c.n }}{% if c.c %}({{ loop(c.c) }}){% endif %}{% endfor %}",
    "{% for i in nums %}{% for j in nums %}{{ loop.index }}{% if loop.last %}!{% endif %}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% macro f(a, b=2, c='x') %}[{{ a }},{{ b }},{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(1, c='y') }}{{ f(b=5, a=4) }}{{ f() }}",
    "{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, x=3) }}{{ f.name }}{{ f.catch_kwargs }}",
    "{% macro box(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call box('b') %}inner{{ n }}{% endcall %}",
    "{% macro each(l) %}{% for i in l %}{{ caller(i, loop.index) }}{% endfor %}{% endmacro %}{% call(i, k) each(nums) %}{{ k }}:{{ i }} {% endcall %}",
    "{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n * (fact(n - 1) | int) }}{% endif %}{% endmacro %}{{ fact(10) }}",
    "{% macro m() %}{{ y }}{% endmacro %}{% set y = 1 %}{{ m() }}{% set y = 2 %}{{ m() }}{% for i in [1] %}{% set y = 3 %}{{ m() }}{{ y }}{% endfor %}{{ y }}",
    "{% set x %}a{{ n }}b{% endset %}{{ x }}{% set y | upper %}abc{% endset %}{{ y }}{{ x | length }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d) = [3, 4] %}{{ c + d }}{% set t = 1, 2 %}{{ t }}{% set u = (1,) %}{{ u }}",
    "{% filter upper %}abc{{ n }}def{% endfilter %}{% filter replace('a', 'b') | upper %}aaa{% endfilter %}",
    "{% with a = 1, b = n %}{{ a + b }}{% endwith %}{{ a is defined }}{% with %}{% set q = 1 %}{% endwith %}{{ q is defined }}",
    "{% generation %}\n{{ messages[1].content }}\n{% endgeneration %}\nx{%- generation -%} y {%- endgeneration -%}",
    "{% if n == 1 %}a{% elif n == 5 %}b{% else %}c{% endif %}{% if not nothing %}d{% endif %}{% if 0, %}e{% endif %}",
    "{% print n, s %}{{ n, s }}{{ (n) }}{% if n > 1: %}colon{% endif %}",
    "{% block a %}x{{ n }}{% endblock %}{% block b scoped %}y{% endblock b %}",
    "{% autoescape false %}{{ html }}{% endautoescape %}",
    "{% if false %}{% include 'x' %}{% endif %}{% if false %}{{ 1 | nofilter }}{% endif %}ok",
    "{{ {'a': {'b': 1}} }}{{ {'a': {}}['a'] }}{{ '}}' }}{{ '%}' }}{% set z = '%}' %}{{ z }}",
    "{%- set loop_messages = messages -%}{%- for message in loop_messages -%}{%- set role = message['role'] -%}{{- '<|' + role + '|>\n' -}}{%- if message.content is string -%}{{- message.content | trim -}}{%- else -%}{%- for part in message.content -%}{%- if part.type == 'text' -%}{{- part['text'] -}}{%- endif -%}{%- endfor -%}{%- endif -%}{{- eos_token -}}{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}",
    "{%- macro render_content(c) -%}{%- if c is string -%}{{ c }}{%- elif c is iterable -%}{%- for p in c -%}{{ p.text }}{%- endfor -%}{%- endif -%}{%- endmacro -%}{%- set ns = namespace(last=-1) -%}{%- for m in messages[::-1] -%}{%- set i = (messages | length - 1) - loop.index0 -%}{%- if ns.last == -1 and m.role == 'user' -%}{%- set ns.last = i -%}{%- endif -%}{%- endfor -%}{{ ns.last }}{%- for m in messages -%}{{ '\n' ~ loop.index0 ~ ':' ~ render_content(m.content) }}{%- if m.tool_calls is defined and m.tool_calls -%}{%- for t in m.tool_calls -%}{%- set t = t.function -%}{{ '\n<tool_call>\n{\"name\": \"' ~ t.name ~ '\", \"arguments\": ' ~ (t.arguments | tojson) ~ '}\n</tool_call>' }}{%- endfor -%}{%- endif -%}{%- endfor -%}",
    "{% set m = messages %}{% for x in m %}{% if loop.previtem is defined and loop.previtem.role == x.role %}same{% elif loop.nextitem is defined %}{{ loop.nextitem.role }} {% endif %}{% endfor %}",
    "{{ 'a' if loop is defined else 'b' }}{% for i in nums %}{{ loop }}{% break %}{% endfor %}" if False else "{{ 'a' if loop is defined else 'b' }}",
    "{% set f = namespace %}{% set q = f(a=1) %}{{ q.a }}{% set q.b = 2 %}{{ q.b }}",
    "{{ undefined_thing }}|{{ d.nope }}|{{ nested.a.nope }}|{{ messages[9] }}|{{ none }}|{{ True }}",
    "{% for x in undefined_thing %}a{% endfor %}{% for c in 'äb' %}{{ c }}.{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for i in range(3) %}{{ i }}{% endfor %}",
    "{% for i in nums %}{% if loop.first %}{% set first = i %}{% endif %}{{ first is defined }}{% endfor %}{{ first is defined }}",
    "{% macro a(x) %}{{ b(x) }}{% endmacro %}{% macro b(x) %}<{{ x }}>{% endmacro %}{{ a(1) }}",
    "{% macro a(x) -%}\n  {%- set y = x * 2 -%}\n  {{ y }}\n{%- endmacro %}\n{{ a(2) }}\n{{ y is defined }}",
    "{{ rows | map(attribute='k') | map('upper') | select('equalto', 'X') | list | length }}",
    "{% set parts = [] %}{% for w in words %}{% set parts = parts + [w] %}{% endfor %}{{ parts }}",
    "日本{{ '語' }}{% if true %} é{% endif %}\n\u00a0{%- if true %}x{% endif %}\u2028\n {% if true %}y{% endif %}",
    "{% if a.b is defined %}x{% endif %}" if False else "{% if nested.b is defined %}x{% else %}y{% endif %}",
    # Errors.
    "{{ undefined_thing.x }}", "{{ none.x.y }}", "{{ 'a' + 1 }}", "{{ 1 + 'a' }}", "{{ 'a' + none }}", "{{ undefined_thing + 'a' }}", "{{ 1 < 'a' }}", "{{ 1 / 0 }}", "{{ 1 % 0 }}", "{{ 5 | length }}",
    "{{ raise_exception('no ' ~ n) }}", "{{ [].append(1) }}", "{{ d.update({}) }}", "{{ ''.__class__.__mro__ }}", "{{ f() }}", "{{ 5() }}", "{% for i in 5 %}{% endfor %}", "{% set x.y = 1 %}", "{{ 'x' in 5 }}", "{{ 1 in 'x' }}",
    "{% for a, b in [[1]] %}{% endfor %}", "{% for a, b in [[1, 2, 3]] %}{% endfor %}", "{% if %}{% endif %}", "{% for x in y %}", "{% endfor %}", "{{ 1 + }}", "{{ (1 }}", "{{ 'a }}", "{% foo %}", "{{ 1 | nofilter }}", "{{ 1 is notest }}", "{% set %}",
    "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{% endmacro %}{{ f(b=1) }}", "{{ '%d' % 'a' }}", "{{ '%s %s' % 'a' }}", "{{ '{}'.format() }}", "{{ words | sort(attribute='x') }}", "{{ [1, 'a'] | sort }}", "{{ range(1000000) }}",
    "{{ undefined_thing | tojson }}", "{{ range | tojson }}", "{{ {[]: 1} }}", "{{ 'abc'.index('z') }}", "{{ [1].index(2) }}", "{{ d | items | length }}", "{% for k, v in 5 | items %}{% endfor %}", "{% break %}", "{{ 1 is divisibleby }}", "{# x", "{% raw %} ", "{% call 5 %}{% endcall %}", "{% set loop = 1 %}{% for i in nums %}{% set loop = 2 %}{% endfor %}",
    "{{ namespace(_x=1) }}", "{% set ns = namespace() %}{% set ns._x = 1 %}", "{{ caller() }}", "{{ 'a'.split('') }}", "{{ [1, 2][::0] }}", "{{ 'a'.nomethod() }}", "{{ -'a' }}", "{{ messages.append(1) }}", "{{ joiner.x.y }}", "{% do 1 %}", "{{ a b }}", "{{ [1, }}", "{{ {1} }}", "{{ x[ }}", "{% if true %}a{% else %}b{% else %}c{% endif %}",
    "{{ 'x' | int('a', 'b', 'c') }}", "{{ 1 | round(0, 'up') }}", "{{ [] | sum }}{{ ['a'] | sum }}", "{{ 2 ** 'a' }}", "{{ 1 if }}", "{{ loop.index }}", "{{ 'a' is in 5 }}", "{% extends 'x' %}", "{% import 'x' as y %}",
]


class Clock:
    """Stands in for datetime, whose now() the templates see."""

    @staticmethod
    def now():
        import datetime

        return datetime.datetime(2024, 7, 26)


def render(template):
    import transformers.utils.chat_template_utils as utils

    utils.datetime = Clock
    try:
        rendered, _ = render_jinja_template([MESSAGES], chat_template=template, add_generation_prompt=True, **VARIABLES)
        return [template, rendered[0]]
    except Exception as error:  # whatever it is: an error is expected then
        return [template, None, f"{type(error).__name__}: {error}"[:200]]


def main():
    templates = ["{{ (" + e + ") }}" if "," in e else "{{ " + e + " }}" for e in EXPRESSIONS] + TEMPLATES
    expectations = [render(t) for t in templates]
    path = pathlib.Path(__file__).parent / "data" / "expectations.json"
    lines = ",\n".join(json.dumps(e, ensure_ascii=False) for e in expectations)
    head = json.dumps(MESSAGES, ensure_ascii=False), json.dumps(VARIABLES, ensure_ascii=False)
    path.write_text('{"date": "2024-07-26",\n"messages": %s,\n"variables": %s,\n"expectations": [\n%s\n]}\n' % (*head, lines))
    errors = sum(len(e) == 3 for e in expectations)
    print(f"{len(expectations)} templates, {errors} of them with an error")


main()
