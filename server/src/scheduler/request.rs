//! From the options of an HTTP task to the request that an ant makes.

use atta_core::definition::{ExpandedPart, ExpandedText, HttpBody, HttpOptions, VariableValue};
use atta_core::protocol::ant::{HttpRequest, RenderedPart, RequestBody};
use atta_core::template::{Renderer, Variables};
use serde_json::{Map, Value};

use super::live::LiveJob;

/// One rendered request may have so many bytes.
const LARGEST: usize = 8 << 20;

impl LiveJob {
    /// Renders a request; an error is the sentence with which the attempt ends as INVALID.
    pub(super) fn request(
        &self,
        options: &HttpOptions,
        renderer: &Renderer,
        scope: &Variables,
    ) -> Result<HttpRequest, String> {
        let url = self.text("url", &options.url, renderer, scope)?.trim().to_owned();
        let mut query = Vec::with_capacity(options.query.len());
        for (name, template) in &options.query {
            query.push((name.clone(), self.text(&format!("query.{name}"), template, renderer, scope)?));
        }
        let mut headers = Vec::with_capacity(options.headers.len());
        for (name, text) in &options.headers {
            headers.push((name.clone(), self.with_variables(&format!("headers.{name}"), text, renderer, scope)?));
        }
        let body = match &options.body {
            HttpBody::None => RequestBody::None,
            HttpBody::Text(template) => RequestBody::Text(self.text("body", template, renderer, scope)?),
            HttpBody::Json(value) => RequestBody::Json(self.document("json", value, renderer, scope, &mut 0)?),
            HttpBody::Form(form) => {
                let mut pairs = Vec::with_capacity(form.len());
                for (name, text) in form {
                    pairs.push((name.clone(), self.with_variables(&format!("form.{name}"), text, renderer, scope)?));
                }
                RequestBody::Form(pairs)
            }
        };
        Ok(HttpRequest {
            verb: options.verb.clone(),
            url,
            query,
            headers,
            body,
            follow_redirects: options.follow_redirects,
            max_body: options.max_body,
            connect_timeout: options.connect_timeout,
            allow: options.allow.clone(),
            allow_private: options.allow_private,
            ca_file: options.ca_file.clone(),
            save_as: options.save_as.clone(),
        })
    }

    pub(super) fn with_variables(
        &self,
        key: &str,
        text: &ExpandedText,
        renderer: &Renderer,
        scope: &Variables,
    ) -> Result<Vec<RenderedPart>, String> {
        let parts = text.parts.iter().map(|part| match part {
            ExpandedPart::Text(template) => self.text(key, template, renderer, scope).map(RenderedPart::Text),
            ExpandedPart::Variable(name, _) => Ok(RenderedPart::Variable(name.clone())),
        });
        parts.collect()
    }

    /// A document whose strings are templates, each of which keeps the type of what it gives.
    pub(super) fn document(
        &self,
        key: &str,
        value: &VariableValue,
        renderer: &Renderer,
        scope: &Variables,
        size: &mut usize,
    ) -> Result<Value, String> {
        Ok(match value {
            VariableValue::Text(template) => {
                let value = renderer
                    .render_value(&template.source, scope)
                    .map_err(|problem| self.explain(key, template, &problem))?;
                *size += match &value {
                    Value::String(text) => text.len(),
                    other => other.to_string().len(),
                };
                if *size > LARGEST {
                    return Err(format!("{key}: the document has more than {LARGEST} bytes"));
                }
                value
            }
            VariableValue::Scalar(value) => value.clone(),
            VariableValue::List(items) => Value::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| self.document(&format!("{key}.{at}"), item, renderer, scope, size))
                    .collect::<Result<_, _>>()?,
            ),
            VariableValue::Map(entries) => {
                let mut map = Map::new();
                for (name, item) in entries {
                    map.insert(name.clone(), self.document(&format!("{key}.{name}"), item, renderer, scope, size)?);
                }
                Value::Object(map)
            }
        })
    }
}
