#!/usr/bin/env python3
"""Checks JSON documents against a schema, with as much of JSON Schema as docs/nearbuf.schema.json uses.

usage: check_json.py SCHEMA FILE    FILE may hold several documents, one behind the other.
"""
import json
import re
import sys

KNOWN = {"$schema", "$id", "$defs", "$ref", "title", "description", "type", "properties", "required",
         "additionalProperties", "items", "enum", "const", "pattern", "oneOf", "minimum"}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
         "null": type(None)}


def is_type(value, name):
    return isinstance(value, TYPES[name]) and not (name == "integer" and isinstance(value, bool))


def members(value, rules, schema, place):
    properties = rules.get("properties", {})
    for name in rules.get("required", []):
        if name not in value:
            yield f"{place}: {name} is missing"
    for name, member in value.items():
        if name in properties:
            yield from faults(member, properties[name], schema, f"{place}.{name}")
        elif rules.get("additionalProperties", True) is False:
            yield f"{place}: {name} is not in the schema"


def faults(value, rules, schema, place="document"):
    """Tells what is wrong with a value."""
    unknown = set(rules) - KNOWN
    if unknown:
        yield f"{place}: this program does not know {unknown}"
    if "$ref" in rules:
        yield from faults(value, schema["$defs"][rules["$ref"].split("/")[-1]], schema, place)
    if "oneOf" in rules:
        tries = [list(faults(value, rule, schema, place)) for rule in rules["oneOf"]]
        if sum(not found for found in tries) != 1:
            yield from min(tries, key=len)
    if "const" in rules and value != rules["const"]:
        yield f"{place}: {value!r} is not {rules['const']!r}"
    if "enum" in rules and value not in rules["enum"]:
        yield f"{place}: {value!r} is none of {rules['enum']}"
    if "type" in rules:
        names = rules["type"] if isinstance(rules["type"], list) else [rules["type"]]
        if not any(is_type(value, name) for name in names):
            yield f"{place}: {value!r} is no {' or '.join(names)}"
            return
    if "minimum" in rules and value < rules["minimum"]:
        yield f"{place}: {value} is below {rules['minimum']}"
    if "pattern" in rules and isinstance(value, str) and not re.search(rules["pattern"], value):
        yield f"{place}: {value!r} does not match {rules['pattern']}"
    if isinstance(value, dict):
        yield from members(value, rules, schema, place)
    if isinstance(value, list) and "items" in rules:
        for index, item in enumerate(value):
            yield from faults(item, rules["items"], schema, f"{place}[{index}]")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    with open(sys.argv[2], encoding="utf-8") as file:
        rest = file.read().strip()
    if not rest:
        sys.exit(f"{sys.argv[2]}: no document")
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        for fault in faults(document, schema, schema):
            sys.exit(f"{sys.argv[2]}: {fault}")
        rest = rest[end:].strip()


main()
