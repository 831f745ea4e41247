//! The description of the API: served, committed, valid.

use std::path::Path;

use serde_json::Value;

use super::rig::TestServer;

#[test]
fn the_committed_description_is_the_generated_one() {
    let generated = format!("{:#}\n", serde_json::to_value(atta_server::api::openapi()).unwrap());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/openapi.json");
    if option_env_at_run_time("UPDATE_GENERATED") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/reference/openapi.json is not what the handlers say: run the tests with UPDATE_GENERATED=1 and commit it"
    );
}

#[expect(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
fn option_env_at_run_time(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| value == "1")
}

#[tokio::test]
async fn it_is_served_and_every_reference_leads_somewhere() {
    let server = TestServer::start().await;
    let api = server.get("/api/v1/openapi.json").await.json();
    assert_eq!(api["openapi"], "3.1.0");
    let mut references = Vec::new();
    collect(&api, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        assert!(api.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            assert!(operation["responses"]["default"].is_object(), "{method} {path} has no problem answer");
        }
    }
}

fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(reference) if key == "$ref" => into.push(reference.clone()),
                    value => collect(value, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        _ => {}
    }
}

#[tokio::test]
async fn the_schema_of_definitions_is_served() {
    let server = TestServer::start().await;
    let answer = server.get("/api/v1/schema/job-definition.json").await;
    assert_eq!(answer.header("content-type"), "application/schema+json");
    assert_eq!(answer.json(), atta_core::definition::json_schema());
}
