//! JSON Schema (draft 2020-12, <https://json-schema.org/draft/2020-12>) of `report.json`, `compare.json` and `voteburst diff`.
//!
//! They are made from the types themselves, so that they cannot say anything else than what is written; `docs/schema` holds
//! them for readers, and a test holds that folder against these functions. Other keys are allowed everywhere, for later
//! versions of the same schema may add some; a key that was added later is not required, for earlier files lack it.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::Value;
use voteburst_coordinator::report::Report;
use voteburst_coordinator::report::compare::Comparison;
use voteburst_coordinator::report::diff::Diff;

/// The schema of `report.json`, version 1.
#[must_use]
pub fn report() -> Value {
    of::<Report>("urn:voteburst:report:1", "report.json of voteburst, version 1")
}

/// The schema of `compare.json`, version 1.
#[must_use]
pub fn comparison() -> Value {
    of::<Comparison>("urn:voteburst:compare:1", "compare.json of voteburst, version 1")
}

/// The schema of what `voteburst diff --format json` writes, version 1.
#[must_use]
pub fn diff() -> Value {
    of::<Diff>("urn:voteburst:diff:1", "the difference of two runs by voteburst, version 1")
}

fn of<T: JsonSchema>(id: &str, title: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(LaterKeys);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("$id".into(), id.into());
    schema.insert("title".into(), title.into());
    schema.to_value()
}

/// Keys that were added within a version are those with a default.
#[derive(Clone)]
struct LaterKeys;

impl Transform for LaterKeys {
    fn transform(&mut self, schema: &mut Schema) {
        let later: Vec<String> = match schema.get("properties").and_then(Value::as_object) {
            Some(keys) => keys.iter().filter(|(_, key)| key.get("default").is_some()).map(|(name, _)| name.clone()).collect(),
            None => Vec::new(),
        };
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| !later.iter().any(|later| name == later));
        }
        transform_subschemas(self, schema);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schemas_are_those_of_the_types() {
        let published = [
            include_str!("../../docs/schema/report-1.json"),
            include_str!("../../docs/schema/compare-1.json"),
            include_str!("../../docs/schema/diff-1.json"),
        ];
        let made = [report(), comparison(), diff()].map(|schema| format!("{schema:#}\n"));
        assert!(published == made, "make them again: cargo run -p voteburst-publish --example schema");
    }

    #[test]
    fn keys_that_came_later_are_not_required_of_earlier_files() {
        let schema = report();
        let required = schema["required"].as_array().unwrap();
        assert!(required.contains(&Value::from("votes")) && !required.contains(&Value::from("thresholds")));
    }
}
