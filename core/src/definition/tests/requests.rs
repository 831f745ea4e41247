//! HTTP tasks, schemas of outputs, and how long things are kept.

use std::time::Duration;

use super::{definition, problems};
use crate::definition::*;

fn request(method: &str, keys: &str) -> String {
    let keys = keys.lines().map(|line| format!("  {line}\n")).collect::<String>();
    format!("job_type: a\ntasks:\n- task_type: t\n  method: {method}\n{keys}")
}

#[track_caller]
fn only(source: &str, expected: &str) {
    assert_eq!(problems(source), [expected]);
}

#[test]
fn a_request_is_read_with_all_its_keys() {
    let job = definition(&request(
        "HTTP_POST",
        "url: \"https://example.com/{{ TaskType | urlencode }}\"\nquery: {page: 2, q: \"{{ JobID }}\"}\nheaders: {Authorization: \"Bearer ${TOKEN}\", Accept: application/json}\njson: {a: [1, \"{{ TaskVisit }}\"], b: true}\nenvironment: {TOKEN: x}\nhttp: {follow_redirects: 2, max_body: 1GiB, connect_timeout: 3s, allow: [db.internal, 10.0.0.0/8], save_as: out/a.json, ca_file: /etc/ca.pem}\noutputs: {id: {json_path: id}, whole: }\non_exit_code: {404: FATAL, \"500-599\": RESCHEDULE, 100: FAILED}",
    ));
    let Method::Http(options) = &job.tasks[0].method else { panic!("a request") };
    assert_eq!((options.verb.as_str(), options.follow_redirects, options.max_body), ("POST", 2, 1 << 30));
    assert_eq!(options.connect_timeout, Duration::from_secs(3));
    assert_eq!(options.query["page"].source, "2");
    assert_eq!(options.variables().map(|(name, _)| name).collect::<Vec<_>>(), ["TOKEN"]);
    assert!(matches!(&options.body, HttpBody::Json(VariableValue::Map(map)) if map.len() == 2));
    assert_eq!(options.save_as.as_deref(), Some("out/a.json"));
    assert!(job.tasks[0].outputs.iter().all(|output| output.source == OutputSource::Body));
    assert_eq!(job.tasks[0].routes[1].matches, RouteMatch::Range(500, 599));

    let plain = definition(&request("HTTP_DELETE", "url: http://x"));
    let Method::Http(options) = &plain.tasks[0].method else { panic!("a request") };
    assert_eq!((options.follow_redirects, options.max_body), (0, 10 << 20));
}

#[test]
fn what_is_wrong_with_a_request_is_said() {
    only(
        &request("HTTP_GET", "timeout: 1m"),
        "3:3 E-MISSING-KEY: this task of the method HTTP_GET has no `url` (say where to: `url: https://example.com/items`)",
    );
    only(
        &request("HTTP_GET", "url: ftp://x/y"),
        "5:8 E-URL: `url` must begin with http:// or https://, and this is ftp:// (only these two can be asked)",
    );
    only(
        &request("HTTP_GET", "url: \"file:///etc/passwd\""),
        "5:8 E-URL: `url` must begin with http:// or https://, and this is file:// (only these two can be asked)",
    );
    only(
        &request("HTTP_GET", "url: example.com"),
        "5:8 E-URL: `url` must begin with http:// or https://, and \"example.com\" does not (write https://example.com/path)",
    );
    only(
        &request("HTTP_GET", "url: \"https://me:pw@example.com/\""),
        "5:8 E-URL: `url` names a user: what is in a URL is shown and logged (send it in a header: `headers: {Authorization: \"Basic ${LOGIN}\"}`)",
    );
    only(
        &request("HTTP_GET", "url: http://x\nbody: y"),
        "6:3 E-OPTION: a GET request has no body, and `body` is one (values go into `query`, or use HTTP_POST)",
    );
    only(
        &request("HTTP_PUT", "url: http://x\nbody: y\njson: 1"),
        "7:3 E-CONFLICT: `body` and `json` exclude each other: a request has one body",
    );
    only(
        &request("HTTP_PUT", "url: http://x\nheaders: {Host: y}"),
        "6:13 E-RESERVED-NAME: the header Host is set by Atta itself (remove it)",
    );
    only(
        &request("HTTP_PUT", "url: http://x\nheaders: {\"a b\": y}"),
        "6:13 E-NAME: \"a b\" cannot be the name of a header (names take letters, digits and `-`)",
    );
    only(&request("HTTP_PUT", "url: http://x\nheaders: {A: y, a: z}"), "6:19 E-CONFLICT: the header a is given twice");
    only(
        &request("HTTP_PUT", "url: http://x\nheaders: {A: \"${NOPE}\"}"),
        "6:16 E-UNDECLARED: `${NOPE}` is no variable of this task's environment (set it: `environment: {NOPE: …}`)",
    );
    only(
        &request("HTTP_PUT", "url: http://x\nhttp: {max_body: 2GiB}"),
        "6:20 E-RANGE: `max_body` must be between 1B and 1GiB, and 2GiB is not",
    );
    only(
        &request("HTTP_PUT", "url: http://x\nhttp: {follow_redirects: 11}"),
        "6:28 E-RANGE: `follow_redirects` must be between 0 and 10, and 11 is not",
    );
    only(
        &request("HTTP_PUT", "url: http://x\nhttp: {allow: [\"10.0.0.0/40\"]}"),
        "6:18 E-VALUE: \"10.0.0.0/40\" is no network: it takes 0 to 32 bits (write a host, an address or a network: db.internal, 10.1.2.3, 10.1.0.0/16)",
    );
    only(
        &request("HTTP_PUT", "url: http://x\nhttp: {save_as: ../x}"),
        "6:19 E-PATH: the path \"../x\" in `http.save_as` leads out of the task's directory (paths are relative to the directory in which the task runs, without `..`)",
    );
    only(
        &request("HTTP_PUT", "url: \"{{ nothing }}\""),
        "5:12 E-UNDECLARED: nothing declares `nothing` (declare it under `params` (given at submit) or `job_variables` (given here); a config of the server is written `configs.NAME`)",
    );
    only(
        &request("HTTP_GET", "url: http://x\non_exit_code: {99: t2}"),
        "6:18 E-RANGE: an HTTP status is between 100 and 599, and 99 is not (a request that got no answer has a result such as TIMED_OUT or START_FAILED)",
    );
    only(
        &request("HTTP_GET", "url: http://x\noutputs: {a: {from: stdout}}"),
        "6:23 E-OPTION: a request writes no stdout: the output a cannot come from there (write `from: body`)",
    );
    only(
        &request("HTTP_GET", "url: http://x\nscript: [x]"),
        "6:3 E-OPTION: `script` is an option of SHELL, and this is a task of the method HTTP_GET (HTTP_GET has url, headers, query, body, json, form, http)",
    );
}

#[test]
fn schemas_of_outputs_are_checked_when_they_arrive() {
    let shell = |schema: &str| {
        format!("job_type: a\ntasks:\n- task_type: t\n  script: [x]\n  outputs: {{v: {{schema: {schema}}}}}\n")
    };
    let job = definition(&shell("{type: object, required: [a]}"));
    assert_eq!(job.tasks[0].outputs[0].schema, Some(serde_json::json!({"type": "object", "required": ["a"]})));
    only(
        &shell("{$ref: \"http://x/y\"}"),
        "5:25 E-SCHEMA: the schema of the output v is not valid: `$ref: \"http://x/y\"` leads out of this schema: only its own parts can be named, such as \"#/$defs/part\" (it is a JSON Schema of the draft 2020-12, written as YAML)",
    );
    let found = problems(&shell("{type: text}"));
    assert!(
        found[0].starts_with("5:25 E-SCHEMA: the schema of the output v is not valid: at `type`: \"text\" is not"),
        "{found:?}"
    );
}

#[test]
fn times_of_keeping_are_durations_or_days() {
    let job = definition(
        "job_type: a\nretention: {completed: 30, failed: 90d, skipped: 12h}\ntasks:\n- task_type: t\n  script: [x]\n  artifacts: {paths: [a], name: report, expire_after: 7d}\n- {task_type: sweep, method: EXPIRE_ARTIFACTS, expire: {older_than: 30d, job_types: [a]}}\n",
    );
    assert_eq!(job.retention.completed, Some(Duration::from_hours(30 * 24)));
    assert_eq!(job.retention.of(crate::engine::JobState::Skipped), Some(Duration::from_hours(12)));
    assert_eq!(job.retention.blocked, None);
    let artifacts = job.tasks[0].artifacts.as_ref().unwrap();
    assert_eq!(
        (artifacts.name.as_deref(), &artifacts.expire_after),
        (Some("report"), &Some(Field::Value(Duration::from_hours(168))))
    );
    let all = definition("job_type: a\nretention: 7\ntasks:\n- {task_type: t, script: [x]}\n");
    assert_eq!(all.retention, Retention::all(Duration::from_hours(168)));
    only(
        "job_type: a\nretention: {completed: 0}\ntasks:\n- {task_type: t, script: [x]}\n",
        "2:24 E-RANGE: `retention.completed` must be between 1 and 36500, and 0 is not",
    );
    only(
        "job_type: a\ntasks:\n- {task_type: t, method: EXPIRE_ARTIFACTS}\n",
        "3:4 E-MISSING-KEY: EXPIRE_ARTIFACTS needs `expire` with `older_than` (say which artifacts may go: `expire: {older_than: 30d}`)",
    );
}
