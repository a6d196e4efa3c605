//! The reference in `docs/reference` is made from the code, and says what the code says.

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use floe::api::all_crds;
    use floe::cli::{ExitCode, command};
    use floe::domain::reasons::{Ends, REASONS};
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
    };

    const MADE: &str = "<!-- Made from the code: run `make docs`, do not edit. -->";

    #[test]
    fn the_reference_of_the_api_is_that_of_the_definitions() {
        let mut text = format!("# API reference\n\n{MADE}\n\n");
        text.push_str(
            "All kinds belong to `promotion.floe.dev/v1alpha1` and live in a namespace.\n",
        );
        for crd in all_crds() {
            text.push_str(&kind(&crd));
        }
        same("api.md", &text);
    }

    #[test]
    fn the_reference_of_the_command_line_is_that_of_the_help() {
        let mut text = format!("# Command line reference\n\n{MADE}\n");
        let mut root = command().term_width(100);
        root.build();
        describe(&mut root, "", &mut text);
        same("cli.md", &text);
    }

    #[test]
    fn the_reference_of_reasons_is_that_of_the_table() {
        let mut text = format!("# Reasons\n\n{MADE}\n\n");
        text.push_str(
            "A reason is the word in `status.waitingOn.reason`, in the conditions `Ready` and `Succeeded` of a\n\
             Promotion, in the condition `TagsInSync` of an EnvironmentPolicy, and in Events. The exit code is that of `floe platform promote`; where a promotion\n\
             waits, it is 14 when the time limit of the command comes first.\n\n\
             | reason | ends | exit | meaning | what to do |\n|---|---|---|---|---|\n",
        );
        for reason in REASONS {
            let exit = match reason.ends {
                Ends::Waits => ExitCode::Waiting.number().to_string(),
                Ends::OfTags => "-".to_owned(),
                _ => ExitCode::of_reason(reason.word).number().to_string(),
            };
            writeln!(
                text,
                "| `{}` | {} | {} | {} | {} |",
                reason.word,
                reason.ends.as_str(),
                exit,
                cell(reason.meaning),
                cell(reason.advice)
            )
            .unwrap();
        }
        same("reasons.md", &text);
    }

    #[test]
    fn the_schema_of_the_record_is_that_of_the_type() {
        let schema = schemars::schema_for!(floe::domain::record::Statement);
        let text = serde_json::to_string_pretty(&schema).unwrap();
        same("record.schema.json", &(text + "\n"));
    }

    #[test]
    fn the_schema_of_a_refusal_is_that_of_the_type() {
        let schema = schemars::schema_for!(floe::domain::record::RefusalStatement);
        let text = serde_json::to_string_pretty(&schema).unwrap();
        same("refusal.schema.json", &(text + "\n"));
    }

    #[test]
    fn the_schema_of_the_audit_log_is_that_of_the_type() {
        let schema = schemars::schema_for!(floe::domain::audit_log::Line);
        let text = serde_json::to_string_pretty(&schema).unwrap();
        same("audit-log.schema.json", &(text + "\n"));
    }

    fn same(file: &str, made: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("docs/reference")
            .join(file);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, made).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = made
            .lines()
            .zip(committed.lines())
            .position(|(one, other)| one != other);
        assert!(
            made == committed,
            "docs/reference/{file} is not what the code says (line {}): run `make docs` and commit the result",
            differs.unwrap_or_else(|| made.lines().count().min(committed.lines().count())) + 1
        );
    }

    fn kind(crd: &CustomResourceDefinition) -> String {
        let names = &crd.spec.names;
        let schema = crd.spec.versions[0].schema.as_ref().unwrap();
        let root = schema.open_api_v3_schema.as_ref().unwrap();
        let mut text = format!("\n## {}\n\n", names.kind);
        let short = names
            .short_names
            .as_deref()
            .unwrap_or_default()
            .join("`, `");
        writeln!(
            text,
            "{}\n",
            root.description.as_deref().unwrap_or_default()
        )
        .unwrap();
        writeln!(text, "Plural `{}`, short name `{short}`.\n", names.plural).unwrap();
        rules(root, &mut text);
        for part in ["spec", "status"] {
            let schema = &root.properties.as_ref().unwrap()[part];
            writeln!(text, "### {}: `{part}`\n", names.kind).unwrap();
            text.push_str("| field | type | meaning |\n|---|---|---|\n");
            fields(schema, "", &mut text);
            text.push('\n');
        }
        text.trim_end().to_owned() + "\n"
    }

    fn rules(schema: &JSONSchemaProps, text: &mut String) {
        for rule in schema.x_kubernetes_validations.iter().flatten() {
            writeln!(text, "- {}", rule.message.as_deref().unwrap_or(&rule.rule)).unwrap();
        }
        if schema.x_kubernetes_validations.is_some() {
            text.push('\n');
        }
    }

    fn fields(schema: &JSONSchemaProps, prefix: &str, text: &mut String) {
        let required = schema.required.clone().unwrap_or_default();
        for (name, field) in schema.properties.iter().flatten() {
            let (inner, word, brackets) = match (&field.type_, &field.items) {
                (_, Some(JSONSchemaPropsOrArray::Schema(item))) => {
                    (item.as_ref(), format!("list of {}", type_of(item)), "[]")
                }
                _ => (field, type_of(field), ""),
            };
            let path = format!("{prefix}{name}{brackets}");
            let needed = if required.contains(name) {
                ", required"
            } else {
                ""
            };
            let meaning = field
                .description
                .as_deref()
                .or(inner.description.as_deref());
            writeln!(
                text,
                "| `{path}` | {word}{needed} | {} |",
                cell(meaning.unwrap_or_default())
            )
            .unwrap();
            // Kubernetes' own type; its documentation is elsewhere.
            if name != "conditions" {
                fields(inner, &format!("{path}."), text);
            }
        }
    }

    fn type_of(schema: &JSONSchemaProps) -> String {
        let values = schema
            .enum_
            .iter()
            .flatten()
            .map(|value| value.0.to_string());
        let values: Vec<String> = values.filter(|value| value != "null").collect();
        if !values.is_empty() {
            return values.join(" or ").replace('"', "`");
        }
        let word = schema.type_.as_deref().unwrap_or("any");
        match schema.format.as_deref() {
            Some("date-time") => "time".to_owned(),
            _ => word.to_owned(),
        }
    }

    fn cell(text: &str) -> String {
        text.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .replace('|', "\\|")
    }

    fn describe(command: &mut clap::Command, parents: &str, text: &mut String) {
        let name = format!("{parents}{}", command.get_name());
        let help = command.render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        writeln!(
            text,
            "\n## {name}\n\n```text\n{}\n```",
            help.join("\n").trim_end()
        )
        .unwrap();
        for inner in command.get_subcommands_mut() {
            if inner.get_name() != "help" && !inner.is_hide_set() {
                describe(inner, &format!("{name} "), text);
            }
        }
    }
}
