//! GitHub's own description of its API (OpenAPI 3.0), cut to what is used here.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::routes::OPERATIONS;

const DESCRIPTION: &str = "node_modules/@octokit/openapi/generated/api.github.com.json";
const CUT: &str = "node_modules/.cache/atta-github-paths.json";

/// A description (OpenAPI 3.0) that requests and answers are held against.
pub struct Contract {
    document: Value,
    operations: Vec<&'static str>,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// Which operation a request is.
pub struct Matched {
    /// `GET /repos/{owner}/{repo}`.
    pub operation: &'static str,
    /// Of the path, decoded.
    pub params: HashMap<String, String>,
}

impl Contract {
    pub(crate) fn get() -> &'static Self {
        static CONTRACT: OnceLock<Contract> = OnceLock::new();
        CONTRACT.get_or_init(|| Self::of(load(), OPERATIONS.iter().map(|(operation, _)| *operation).collect()))
    }

    /// That of a document with these operations, `METHOD PATH`.
    pub fn of(document: Value, operations: Vec<&'static str>) -> Self {
        Self { document, operations, validators: Mutex::default() }
    }

    /// Finds the operation; the last parameter of paths with `git` or `refs` in them has slashes in it.
    pub fn find(&self, method: &str, path: &str) -> Option<Matched> {
        let given: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        self.operations.iter().copied().find_map(|operation| {
            let (wanted, template) = operation.split_once(' ')?;
            let template: Vec<&str> = template.trim_start_matches('/').split('/').collect();
            let named = matches!(template.last(), Some(&"{ref}" | &"{name}"));
            let rest = named && (template.contains(&"git") || template.contains(&"refs"));
            if wanted != method || (template.len() != given.len() && !(rest && given.len() > template.len())) {
                return None;
            }
            let mut params = HashMap::new();
            for (at, piece) in template.iter().enumerate() {
                match piece.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                    Some(name) => {
                        let last = at + 1 == template.len();
                        let value = if rest && last { given[at..].join("/") } else { given[at].to_owned() };
                        params.insert(name.to_owned(), decode(&value));
                    }
                    None if *piece == given[at] => {}
                    None => return None,
                }
            }
            Some(Matched { operation, params })
        })
    }

    fn operation(&self, operation: &str) -> &Value {
        let (method, path) = operation.split_once(' ').expect("operations are METHOD PATH");
        &self.document["paths"][path][method.to_lowercase()]
    }

    fn resolve<'v>(&'v self, mut value: &'v Value) -> &'v Value {
        while let Some(target) = value["$ref"].as_str() {
            value = self.document.pointer(target.trim_start_matches('#')).expect("the description is whole");
        }
        value
    }

    /// What of a request is not as described.
    pub fn request_breaches(&self, operation: &str, query: &[(String, String)], body: Option<&Value>) -> Vec<String> {
        let described = self.operation(operation);
        let mut breaches = Vec::new();
        let params: Vec<&Value> =
            described["parameters"].as_array().into_iter().flatten().map(|param| self.resolve(param)).collect();
        for (name, value) in query {
            let Some(param) = params.iter().find(|param| param["in"] == "query" && param["name"] == **name) else {
                breaches.push(format!("{operation} has no parameter `{name}`"));
                continue;
            };
            let schema = self.resolve(&param["schema"]);
            let words = schema["enum"].as_array();
            if words.is_some_and(|words| !words.iter().any(|word| word == value)) {
                breaches.push(format!("{operation}: `{name}` cannot be {value}"));
            }
            if schema["type"] == "integer" && value.parse::<u64>().is_err() {
                breaches.push(format!("{operation}: `{name}` is a number, not {value}"));
            }
        }
        let schema = &described["requestBody"]["content"]["application/json"]["schema"];
        match body {
            Some(body) if schema.is_null() => breaches.push(format!("{operation} takes no body, and got {body}")),
            Some(body) => {
                breaches.extend(self.violations(&format!("{operation} request"), schema, body));
                let known = &self.resolve(schema)["properties"];
                for key in body.as_object().into_iter().flat_map(Map::keys).filter(|_| known.is_object()) {
                    if known.get(key).is_none() {
                        breaches.push(format!("{operation}: the body has no `{key}`"));
                    }
                }
            }
            None if described["requestBody"]["required"] == true => breaches.push(format!("{operation} needs a body")),
            None => {}
        }
        breaches
    }

    /// The whole answer from what is known of it, and what of that is not as described.
    pub fn answer(&self, operation: &str, status: u16, known: Value) -> (Value, Vec<String>) {
        let response = &self.operation(operation)["responses"][status.to_string()];
        if response.is_null() {
            return (known, vec![format!("{operation} does not answer with {status}")]);
        }
        let schema = &self.resolve(response)["content"]["application/json"]["schema"];
        if schema.is_null() {
            let breaches = if known.is_null() { vec![] } else { vec![format!("{operation} {status} has no body")] };
            return (known, breaches);
        }
        let mut breaches = Vec::new();
        let whole = self.complete(schema, Some(known), operation, &mut breaches);
        breaches.extend(self.violations(&format!("{operation} {status}"), schema, &whole));
        (whole, breaches)
    }

    /// Adds what the description demands and nobody has said.
    fn complete(&self, schema: &Value, known: Option<Value>, at: &str, breaches: &mut Vec<String>) -> Value {
        let schema = self.resolve(schema);
        if known.as_ref().is_some_and(Value::is_null) {
            return Value::Null;
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            if let Some(options) = schema[key].as_array()
                && schema["properties"].is_null()
            {
                let fits = |option: &&Value| {
                    let kind = &self.resolve(option)["type"];
                    match &known {
                        Some(Value::Object(_)) => kind == "object" || !self.resolve(option)["properties"].is_null(),
                        Some(Value::Array(_)) => kind == "array",
                        Some(Value::String(_)) => kind == "string",
                        Some(Value::Number(_)) => kind == "integer" || kind == "number",
                        _ => true,
                    }
                };
                let option = options.iter().find(fits).or_else(|| options.first());
                return option.map_or(Value::Null, |option| self.complete(option, known, at, breaches));
            }
        }
        if let Some(Value::Array(items)) = known {
            return items.into_iter().map(|item| self.complete(&schema["items"], Some(item), at, breaches)).collect();
        }
        let properties = schema["properties"].as_object();
        if let (Some(properties), None | Some(Value::Object(_))) = (properties, &known) {
            let mut made = match known {
                Some(Value::Object(map)) => map,
                _ => Map::new(),
            };
            for key in made.keys().filter(|key| !properties.contains_key(*key)) {
                breaches.push(format!("{at}: the answer has no `{key}`"));
            }
            for (name, inner) in properties {
                match made.remove(name) {
                    Some(value) => {
                        let value = self.complete(inner, Some(value), at, breaches);
                        made.insert(name.clone(), value);
                    }
                    None if schema["required"].as_array().is_some_and(|all| all.iter().any(|key| key == name)) => {
                        made.insert(name.clone(), self.complete(inner, None, at, breaches));
                    }
                    None => {}
                }
            }
            return Value::Object(made);
        }
        known.unwrap_or_else(|| plain(schema))
    }

    fn violations(&self, name: &str, schema: &Value, value: &Value) -> Vec<String> {
        let known = self.validators.lock().expect("nobody panics here").get(name).cloned();
        let validator = known.unwrap_or_else(|| {
            let made = Arc::new(self.validator(schema));
            self.validators.lock().expect("nobody panics here").insert(name.to_owned(), Arc::clone(&made));
            made
        });
        let errors = validator.iter_errors(value).take(5);
        errors.map(|error| format!("{name}: {} {error}", error.instance_path())).collect()
    }

    fn validator(&self, schema: &Value) -> Validator {
        let mut components = Map::new();
        for name in references(schema, &self.document) {
            let schema = nullable(&self.document["components"]["schemas"][&name]);
            components.insert(name, schema);
        }
        let document = json!({"allOf": [nullable(schema)], "components": {"schemas": components}});
        jsonschema::draft7::new(&document).expect("the description holds schemas")
    }
}

/// A value of this type that says nothing.
fn plain(schema: &Value) -> Value {
    if schema["nullable"] == true {
        return Value::Null;
    }
    if let Some(first) = schema["enum"].as_array().and_then(|words| words.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => match schema["format"].as_str() {
            Some("date-time") => json!("2026-01-01T00:00:00Z"),
            Some("uri") => json!("https://github.test/"),
            _ => json!("x"),
        },
    }
}

/// The schemas that a value leads to.
fn references(value: &Value, document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                if let Some(name) = value["$ref"].as_str().and_then(|path| path.strip_prefix("#/components/schemas/"))
                    && found.insert(name.to_owned())
                {
                    open.push(&document["components"]["schemas"][name]);
                }
                open.extend(map.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    found
}

/// `nullable: true` in the words of JSON Schema, and no examples.
fn nullable(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => {
            let inner = map.iter().filter(|(key, value)| {
                !matches!(key.as_str(), "example" | "examples" | "description" | "title") || value.is_object()
            });
            let made: Map<String, Value> = inner.map(|(key, value)| (key.clone(), nullable(value))).collect();
            if map.get("nullable") == Some(&Value::Bool(true)) {
                return json!({"anyOf": [made, {"type": "null"}]});
            }
            Value::Object(made)
        }
        Value::Array(items) => items.iter().map(nullable).collect(),
        other => other.clone(),
    }
}

/// The used paths, with everything that they lead to.
fn load() -> Value {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths: BTreeSet<&str> =
        OPERATIONS.iter().filter_map(|(operation, _)| Some(operation.split_once(' ')?.1)).collect();
    let whole = here.join(DESCRIPTION);
    let size = fs::metadata(&whole).map_or_else(
        |error| {
            panic!(
                "{}: {error}. It is GitHub's description of its API; fetch it with scripts/setup, or with \
             `npm ci --ignore-scripts --prefix tests/github`",
                whole.display()
            )
        },
        |metadata| metadata.len(),
    );
    let mark = json!({"size": size, "paths": paths});
    let cut = here.join(CUT);
    if let Ok(bytes) = fs::read(&cut)
        && let Ok(document) = serde_json::from_slice::<Value>(&bytes)
        && document["mark"] == mark
    {
        return document;
    }
    let all: Value = serde_json::from_slice(&fs::read(&whole).expect("it was there")).expect("it is JSON");
    let mut document = json!({"mark": mark, "paths": {}, "components": {}});
    for path in &paths {
        assert!(all["paths"][*path].is_object(), "GitHub's description has no path {path}");
        document["paths"][*path] = all["paths"][*path].clone();
    }
    let mut open = vec![document["paths"].clone()];
    let mut seen = BTreeSet::new();
    while let Some(value) = open.pop() {
        let mut inner = vec![&value];
        let mut targets = Vec::new();
        while let Some(value) = inner.pop() {
            match value {
                Value::Object(map) => {
                    targets.extend(value["$ref"].as_str().map(str::to_owned));
                    inner.extend(map.values());
                }
                Value::Array(items) => inner.extend(items),
                _ => {}
            }
        }
        for target in targets.into_iter().filter(|target| seen.insert(target.clone())) {
            let pieces: Vec<&str> = target.trim_start_matches("#/components/").split('/').collect();
            if let [kind, name] = pieces[..] {
                let component = all["components"][kind][name].clone();
                if document["components"][kind].is_null() {
                    document["components"][kind] = json!({});
                }
                document["components"][kind][name] = component.clone();
                open.push(component);
            }
        }
    }
    // Tests run at the same time: whoever is last wins, and all write the same.
    let directory = cut.parent().expect("it has a directory");
    let mine = directory.join(format!("atta-github-paths.{}", std::process::id()));
    if fs::create_dir_all(directory).is_ok() && fs::write(&mine, document.to_string()).is_ok() {
        let _ = fs::rename(&mine, &cut);
    }
    document
}
