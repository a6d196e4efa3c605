//! Structural schemas: what is missing in one, and what one refuses. Only as much of OpenAPI as our
//! definitions use; a word that it does not know is an error.

use regex::Regex;
use serde_json::Value;

/// What is missing in a schema: bounds, descriptions; and what must not be there.
pub(crate) fn problems_of_schema(kind: &str, schema: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let fields = schema["properties"].as_object().into_iter().flatten();
    for (name, field) in fields.filter(|(name, _)| matches!(name.as_str(), "spec" | "status")) {
        field_problems(&format!("{kind}.{name}"), field, false, &mut problems);
    }
    problems
}

fn field_problems(path: &str, schema: &Value, in_list: bool, problems: &mut Vec<String>) {
    let mut say = |what: &str| problems.push(format!("{path} {what}"));
    let is_item = path.ends_with("[]");
    if !is_item && schema["description"].as_str().is_none_or(str::is_empty) {
        say("has no description");
    }
    if in_list && schema.get("default").is_some() {
        say("has a default inside a list");
    }
    if let Some(format) = schema["format"]
        .as_str()
        .filter(|format| format.starts_with("uint"))
    {
        say(&format!(
            "has the format {format}, which Kubernetes does not know"
        ));
    }
    match schema["type"].as_str() {
        Some("string") => {
            let bounded = ["maxLength", "enum", "format"]
                .iter()
                .any(|key| schema.get(key).is_some());
            if !bounded {
                say("has no maxLength");
            }
        }
        Some("array") => {
            if schema.get("maxItems").is_none() {
                say("has no maxItems");
            }
            field_problems(&format!("{path}[]"), &schema["items"], true, problems);
        }
        Some("object") => {
            if schema.get("additionalProperties").is_some() && schema.get("maxProperties").is_none()
            {
                say("has no maxProperties");
            }
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                field_problems(&format!("{path}.{name}"), field, in_list, problems);
            }
        }
        Some("integer" | "boolean") => {}
        other => say(&format!("has the type {other:?}")),
    }
}

/// Why this value does not fit the schema.
pub(crate) fn refusals(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "", &mut found);
    found
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let mut refuse = |why: String| found.push(format!("{path}: {why}"));
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        refuse(format!("{value} is none of {words:?}"));
    }
    let number = |key: &str| schema[key].as_f64();
    match (schema["type"].as_str(), value) {
        (Some("string"), Value::String(text)) => {
            let length = f64::from(u32::try_from(text.chars().count()).unwrap_or(u32::MAX));
            if number("maxLength").is_some_and(|most| length > most)
                || number("minLength").is_some_and(|least| length < least)
            {
                refuse(format!("{length} characters"));
            }
            if let Some(pattern) = schema["pattern"].as_str()
                && !Regex::new(pattern).expect("a pattern").is_match(text)
            {
                refuse(format!("'{text}' is not {pattern}"));
            }
        }
        (Some("integer"), Value::Number(given)) => {
            let given = given.as_f64().unwrap_or(f64::NAN);
            if number("maximum").is_some_and(|most| given > most)
                || number("minimum").is_some_and(|least| given < least)
            {
                refuse(format!("{given} is out of range"));
            }
        }
        (Some("array"), Value::Array(items)) => {
            let length = f64::from(u32::try_from(items.len()).unwrap_or(u32::MAX));
            if number("maxItems").is_some_and(|most| length > most)
                || number("minItems").is_some_and(|least| length < least)
            {
                refuse(format!("{length} items"));
            }
            for (index, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{index}]"), found);
            }
        }
        (Some("object"), Value::Object(fields)) => {
            for required in schema["required"].as_array().into_iter().flatten() {
                if !fields.contains_key(required.as_str().unwrap_or_default()) {
                    refuse(format!("{required} is missing"));
                }
            }
            for (name, field) in fields {
                if let Some(schema) = schema["properties"].get(name) {
                    check(schema, field, &format!("{path}.{name}"), found);
                }
            }
        }
        (Some("boolean"), Value::Bool(_)) | (None, _) => {}
        (Some(wanted), _) => refuse(format!("{value} is no {wanted}")),
    }
}
