//! Rows as text: a line with the names of the columns, then a line for each row, all of them JSON arrays. Bytes are an
//! object with their base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::super::sql::Value;
use super::Chunk;

impl Chunk {
    pub(super) fn new(table: &str, columns: Vec<String>) -> Self {
        Self { table: table.to_owned(), columns, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: Vec<Value<'static>>) {
        self.rows.push(row);
    }

    pub(super) fn rows(&self) -> &[Vec<Value<'static>>] {
        &self.rows
    }

    /// How many rows it has.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// As text.
    pub(crate) fn to_text(&self) -> String {
        let mut text = json!(self.columns).to_string();
        text.push('\n');
        for row in &self.rows {
            text.push_str(&Json::Array(row.iter().map(to_json).collect()).to_string());
            text.push('\n');
        }
        text
    }

    /// From text. An error is a sentence.
    pub(crate) fn from_text(table: &str, text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let columns = lines.next().ok_or("there is nothing in it")?;
        let columns: Vec<String> = serde_json::from_str(columns).map_err(|error| format!("its columns: {error}"))?;
        let mut chunk = Self::new(table, columns);
        for (line, text) in (2..).zip(lines) {
            let row: Vec<Json> = serde_json::from_str(text).map_err(|error| format!("line {line}: {error}"))?;
            if row.len() != chunk.columns.len() {
                return Err(format!("line {line} has {} values, there are {} columns", row.len(), chunk.columns.len()));
            }
            let row = row.into_iter().map(from_json).collect::<Result<_, _>>();
            chunk.push(row.map_err(|error| format!("line {line}: {error}"))?);
        }
        Ok(chunk)
    }
}

fn to_json(value: &Value<'_>) -> Json {
    match value {
        Value::Int(Some(value)) => json!(value),
        Value::Bool(Some(value)) => json!(value),
        Value::Text(Some(value)) => json!(value),
        Value::Bytes(Some(value)) => json!({ "base64": STANDARD.encode(value) }),
        Value::Int(None) | Value::Bool(None) | Value::Text(None) | Value::Bytes(None) => Json::Null,
    }
}

fn from_json(value: Json) -> Result<Value<'static>, String> {
    match value {
        Json::Null => Ok(Value::Text(None)),
        Json::Bool(value) => Ok(value.into()),
        Json::String(value) => Ok(value.into()),
        Json::Number(value) => value.as_i64().map(Into::into).ok_or_else(|| format!("{value} is no 64 bit number")),
        Json::Object(fields) => {
            let text = fields.get("base64").and_then(Json::as_str).ok_or("an object that is not bytes")?;
            let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
            Ok(Value::Bytes(Some(bytes.into())))
        }
        Json::Array(_) => Err("an array in a row".to_owned()),
    }
}

/// About how much memory a value takes.
pub(super) fn size(value: &Value<'_>) -> usize {
    match value {
        Value::Text(Some(text)) => text.len() + 16,
        Value::Bytes(Some(bytes)) => bytes.len() + 16,
        _ => 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives_its_text() {
        let values: Vec<Value<'static>> = vec![
            i64::MIN.into(),
            true.into(),
            "a\n\"b\"\0\u{2028}ü".to_owned().into(),
            Value::Bytes(Some(vec![0, 255, 10].into())),
            Value::Text(None),
        ];
        let mut chunk = Chunk::new("t", vec!["a".to_owned(); values.len()]);
        chunk.push(values.clone());
        chunk.push(values);
        assert_eq!(Chunk::from_text("t", &chunk.to_text()), Ok(chunk));
    }

    #[test]
    fn what_is_no_row_is_refused_with_its_line() {
        for (text, words) in [
            ("", "nothing in it"),
            ("{}", "its columns"),
            ("[\"a\"]\n[1,2]\n", "line 2 has 2 values, there are 1 columns"),
            ("[\"a\"]\n[1]\n[1.5]\n", "line 3: 1.5 is no 64 bit number"),
            ("[\"a\"]\n[{\"x\":1}]\n", "line 2: an object"),
            ("[\"a\"]\n[[]]\n", "line 2: an array"),
        ] {
            let problem = Chunk::from_text("t", text).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
