//! What tokens cost, where a program does not say what it paid.

use std::fs;
use std::path::Path;

use atta_core::protocol::agent::{AgentTokens, MicroUsd};
use indexmap::IndexMap;
use serde::Deserialize;

/// A table of prices and its date.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// When the prices were these: `YYYY-MM-DD`.
    pub date: String,
    models: IndexMap<String, Price>,
}

/// US dollars per million tokens.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    input: f64,
    output: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
}

/// A table of prices that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// The file cannot be read.
    #[error("the price table {path} cannot be read: {error}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Its content is no table of prices.
    #[error("{path} is no price table: {error}")]
    Parse {
        /// Which file.
        path: String,
        /// Why.
        error: serde_json::Error,
    },
    /// Its date is none.
    #[error("{path}: `date` is `{date}`; write it as YYYY-MM-DD")]
    Date {
        /// Which file.
        path: String,
        /// What stands there.
        date: String,
    },
}

impl Prices {
    /// The table that this program was built with.
    pub fn built_in() -> Result<Self, PriceError> {
        Self::parse(include_str!("prices.json"), "the built-in price table")
    }

    /// The table in a file.
    pub fn read(path: &Path) -> Result<Self, PriceError> {
        let shown = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| PriceError::Read { path: shown.clone(), error })?;
        Self::parse(&text, &shown)
    }

    fn parse(text: &str, path: &str) -> Result<Self, PriceError> {
        let prices: Self =
            serde_json::from_str(text).map_err(|error| PriceError::Parse { path: path.to_owned(), error })?;
        if prices.date.parse::<jiff::civil::Date>().is_err() {
            return Err(PriceError::Date { path: path.to_owned(), date: prices.date });
        }
        Ok(prices)
    }

    /// What these tokens of this model cost; `None` when the table does not know the model.
    #[expect(clippy::cast_precision_loss, reason = "counts of tokens are far below 2^53")]
    pub fn cost(&self, model: &str, tokens: &AgentTokens) -> Option<MicroUsd> {
        let price = self.price(model)?;
        let part = |tokens: u64, per_million: f64| tokens as f64 * per_million;
        let millionths = part(tokens.input, price.input)
            + part(tokens.output, price.output)
            + part(tokens.cache_read, price.cache_read.unwrap_or(price.input))
            + part(tokens.cache_write, price.cache_write.unwrap_or(price.input));
        MicroUsd::from_dollars(millionths / 1e6)
    }

    fn price(&self, model: &str) -> Option<&Price> {
        // `anthropic/…`, `models/…`, `us.anthropic.…`: who sells it is not what it is.
        let name = model.rsplit('/').next().unwrap_or(model);
        let name = name.rsplit_once("anthropic.").map_or(name, |(_, name)| name);
        let name = name.split_once('[').map_or(name, |(name, _)| name).to_lowercase();
        let known = self.models.iter().filter(|(known, _)| name.strip_prefix(known.as_str()).is_some_and(is_edition));
        known.max_by_key(|(known, _)| known.len()).map(|(_, price)| price)
    }
}

/// Whether this is nothing, or the date or number of an edition: `-20250929`, `@20250929`, `-2025-08-07`, `-v1:0`, `-latest`.
fn is_edition(rest: &str) -> bool {
    rest.is_empty()
        || rest == "-latest"
        || rest == "-preview"
        || (rest.starts_with(['-', '@', ':'])
            && rest.len() > 4
            && rest.chars().all(|c| c.is_ascii_digit() || "-@:v".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        Prices::parse(
            r#"{"date": "2026-01-01", "models": {
                "small": {"input": 1, "output": 5, "cache_read": 0.1, "cache_write": 1.25},
                "small-mini": {"input": 0.5, "output": 2}}}"#,
            "test",
        )
        .unwrap()
    }

    #[test]
    fn tokens_are_priced_by_kind_and_rounded_up() {
        let tokens = AgentTokens { input: 1000, output: 200, cache_read: 10_000, cache_write: 400 };
        assert_eq!(prices().cost("small", &tokens), Some(MicroUsd(1000 + 1000 + 1000 + 500)));
        assert_eq!(prices().cost("small", &AgentTokens { cache_read: 1, ..AgentTokens::default() }), Some(MicroUsd(1)));
    }

    #[test]
    fn editions_and_sellers_of_a_model_cost_the_same_and_other_models_nothing_known() {
        let one = AgentTokens { output: 1, ..AgentTokens::default() };
        for name in
            ["small-20250929", "vendor/small@20250929", "us.anthropic.small-20250929-v1:0", "Small[1m]", "small-latest"]
        {
            assert_eq!(prices().cost(name, &one), Some(MicroUsd(5)), "{name}");
        }
        assert_eq!(prices().cost("small-mini-2026-01-01", &one), Some(MicroUsd(2)));
        for name in ["small-turbo", "smaller", "other", "", "small-5"] {
            assert_eq!(prices().cost(name, &one), None, "{name}");
        }
    }

    #[test]
    fn the_built_in_table_has_a_date_and_prices() {
        let prices = Prices::built_in().unwrap();
        assert!(prices.models.len() > 10);
        for (name, price) in &prices.models {
            assert!(price.input > 0.0 && price.output >= price.input, "{name}");
            assert_eq!(name, &name.to_lowercase());
        }
    }

    #[test]
    fn what_is_no_price_table_is_said() {
        let error = Prices::parse(r#"{"date": "today", "models": {}}"#, "p.json").unwrap_err();
        assert_eq!(error.to_string(), "p.json: `date` is `today`; write it as YYYY-MM-DD");
        let error = Prices::parse(r#"{"date": "2026-01-01", "models": {"x": {"input": 1}}}"#, "p.json").unwrap_err();
        assert!(error.to_string().starts_with("p.json is no price table: missing field `output`"), "{error}");
        let error = Prices::read(Path::new("/nowhere/p.json")).unwrap_err();
        assert!(error.to_string().starts_with("the price table /nowhere/p.json cannot be read: "), "{error}");
    }
}
