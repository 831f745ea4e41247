use std::collections::HashSet;

use super::super::names;
use super::*;

#[test]
fn the_table_leads_to_every_mapping() {
    let names: Vec<&str> = vocabularies().iter().map(|vocabulary| vocabulary.what).collect();
    for expected in ["a job", "a task", "a param", "retry_backoff", "artifacts", "an output", "a route", "a dependency"]
    {
        assert!(names.contains(&expected), "{expected} is not reached from the keys of a job");
    }
}

#[test]
fn every_key_is_described_once() {
    for vocabulary in vocabularies() {
        let what = vocabulary.what;
        let mut seen = HashSet::new();
        for key in vocabulary.keys {
            assert!(seen.insert(key.name), "{what}: `{}` is described twice", key.name);
            assert!(key.doc.len() > 10 && key.doc.ends_with(['.', '…', '`', ')']), "{what}: `{}` has no doc", key.name);
            assert!(!key.required || key.default.is_none(), "{what}: `{}` is required and has a default", key.name);
            assert!(!vocabulary.later.contains(&key.name), "{what}: `{}` is known and comes later", key.name);
        }
        for (foreign, ours) in vocabulary.foreign {
            assert!(!seen.contains(foreign), "{what}: `{foreign}` is a key, not a foreign word");
            assert!(seen.contains(ours), "{what}: `{foreign}` stands for `{ours}`, which is no key");
        }
    }
}

#[test]
fn the_words_of_routes_are_those_that_the_loader_knows() {
    let described: Vec<&str> = WORDS.iter().map(|word| word.name).filter(|name| *name != "ERR_").collect();
    assert_eq!(described, names::WORDS);
}

#[test]
fn every_result_is_described() {
    let described: Vec<&str> = word::RESULTS.iter().map(|(name, _)| *name).collect();
    let known: Vec<&str> = crate::engine::ResultName::ALL.iter().map(|result| result.as_str()).collect();
    assert_eq!(described, known);
}
