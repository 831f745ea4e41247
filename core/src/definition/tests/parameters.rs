//! The values that a submit brings.

use serde_json::{Map, Value, json};

use super::definition;
use crate::definition::{JobDefinition, check_params, coerce_cli_params};

fn job() -> JobDefinition {
    definition(
        "job_type: build\nparams:\n  Repo: {required: true, description: where the code is}\n  Tries: {type: integer, default: 3}\n  Mode: {enum: [fast, slow], default: fast}\n  Key: {pattern: '^[A-Z]+-\\d+$'}\n  Flags: {type: array}\n  Deep: {type: boolean}\n  Extra: {type: object}\n  Ratio: {type: number}\ntasks: [{task_type: a, script: [x]}]\n",
    )
}

fn check(given: Value) -> Result<Value, Vec<String>> {
    let Value::Object(given) = given else { panic!("an object") };
    check_params(&job(), &given)
        .map(Value::Object)
        .map_err(|found| found.into_iter().map(|one| format!("{} {}: {}", one.field, one.code, one.message)).collect())
}

#[test]
fn defaults_fill_what_is_not_given() {
    assert_eq!(check(json!({"Repo": "x"})), Ok(json!({"Repo": "x", "Tries": 3, "Mode": "fast"})));
    let all = json!({"Repo": "x", "Tries": 5, "Mode": "slow", "Key": "AB-1", "Flags": [1], "Deep": true, "Extra": {}, "Ratio": 0.5});
    assert_eq!(check(all.clone()), Ok(all));
}

#[test]
fn everything_that_is_wrong_is_named_at_once() {
    assert_eq!(
        check(json!({"Tires": 3, "Tries": "3", "Mode": "quick", "Key": "nope", "Deep": "true", "Ratio": null})),
        Err(vec![
            "params.Tires UNKNOWN_PARAM: build has no param Tires; did you mean Tries?".into(),
            "params.Repo MISSING_PARAM: the param Repo is required (where the code is)".into(),
            "params.Tries INVALID_PARAM: Tries must be of type integer, and this is the string \"3\"".into(),
            "params.Mode INVALID_PARAM: Mode must be fast or slow, and this is the string \"quick\"".into(),
            "params.Key INVALID_PARAM: Key must match the pattern ^[A-Z]+-\\d+$, and \"nope\" does not".into(),
            "params.Deep INVALID_PARAM: Deep must be of type boolean, and this is the string \"true\"".into(),
            "params.Ratio INVALID_PARAM: Ratio must be of type number, and this is null".into(),
        ])
    );
    assert_eq!(
        check(json!({"Repo": "x", "zzzzzzzz": 1})).unwrap_err(),
        [
            "params.zzzzzzzz UNKNOWN_PARAM: build has no param zzzzzzzz; it takes Repo, Tries, Mode, Key, Flags, Deep, Extra, Ratio"
        ]
    );
}

#[test]
fn values_of_the_command_line_take_the_declared_type() {
    let coerce = |pairs: &[(&str, &str)]| {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        coerce_cli_params(&job(), &pairs)
    };
    let given: Map<String, Value> = coerce(&[
        ("Repo", "5"),
        ("Tries", "7"),
        ("Deep", "true"),
        ("Flags", "[\"a\"]"),
        ("Extra", "{\"k\": 1}"),
        ("Ratio", "0.5"),
        ("Unknown", "5"),
    ])
    .unwrap();
    let expected =
        json!({"Repo": "5", "Tries": 7, "Deep": true, "Flags": ["a"], "Extra": {"k": 1}, "Ratio": 0.5, "Unknown": "5"});
    assert_eq!(Value::Object(given), expected);

    let found = coerce(&[("Tries", "many"), ("Deep", "yes"), ("Flags", "a,b")]).unwrap_err();
    let messages: Vec<_> = found.into_iter().map(|one| one.message).collect();
    assert_eq!(
        messages,
        [
            "Tries must be of type integer, and \"many\" is not",
            "Deep must be of type boolean, and \"yes\" is not; write true or false",
            "Flags must be of type array, and \"a,b\" is not; write JSON such as [\"a\", \"b\"]",
        ]
    );
}
