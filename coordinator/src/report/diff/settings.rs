//! What differs between two scenarios, key by key.

use std::collections::BTreeMap;

/// The most characters of a value that are shown: a trace of arrivals is a value too.
const MOST_SHOWN: usize = 60;

/// Every key whose value differs, as `key: a against b`; `-` where one of them lacks it.
pub(super) fn differing(a: &str, b: &str) -> Vec<String> {
    let (a, b) = (settings(a), settings(b));
    let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let differing = keys.into_iter().filter(|key| a.get(*key) != b.get(*key));
    let shown = |value: Option<&String>| match value {
        None => "-".to_owned(),
        Some(value) if value.chars().count() > MOST_SHOWN => value.chars().take(MOST_SHOWN).chain(['…']).collect(),
        Some(value) => value.clone(),
    };
    differing.map(|key| format!("{key}: {} against {}", shown(a.get(key)), shown(b.get(key)))).collect()
}

/// Every key of canonical TOML with its value; tables of a list are numbered from 1.
fn settings(text: &str) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    // It was written by this program; of anything else there is nothing to tell.
    flatten("", toml::Value::Table(text.parse().unwrap_or_default()), &mut settings);
    settings
}

fn flatten(key: &str, value: toml::Value, into: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                flatten(&key, value, into);
            }
        }
        toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
            for (place, value) in list.into_iter().enumerate() {
                flatten(&format!("{key}[{}]", place + 1), value, into);
            }
        }
        value => {
            into.insert(key.to_owned(), value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_by_its_key() {
        let a = "seed = 1\nname = \"x\"\n\n[audience]\nviewers = 10\n\n[[questions]]\nid = \"one\"\n\n[[questions]]\nid = \"two\"\n\n[questions.arrivals]\nshape = \"uniform\"\n";
        let b = a.replace("seed = 1", "seed = 2").replace("\"two\"", "\"three\"").replace("viewers = 10\n", "");
        let b = b.replace("\"uniform\"", "\"sharp\"");
        assert_eq!(
            differing(a, &b),
            [
                "audience.viewers: 10 against -",
                "questions[2].arrivals.shape: \"uniform\" against \"sharp\"",
                "questions[2].id: \"two\" against \"three\"",
                "seed: 1 against 2",
            ]
        );
        assert_eq!(differing(a, a), Vec::<String>::new());
    }
}
