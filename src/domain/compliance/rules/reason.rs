use cel::ExecutionError;

/// Why an expression could not be evaluated. The crate's own sentences quote the values of documents, so
/// that none of them is used: only names that stand in the expression and names of types are.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the list of errors is open, and one sentence is enough for the rest"
)]
pub(super) fn reason(error: &ExecutionError, source: &str) -> String {
    use ExecutionError as E;
    match error {
        // A key may come from a document, as in `manifest[document.content.key]`.
        E::NoSuchKey(key) if source.contains(key.as_str()) => {
            format!("there is no key '{key}' (has() asks for one)")
        }
        E::NoSuchKey(_) => "there is no such key (has() asks for one)".to_owned(),
        E::UndeclaredReference(name) if source.contains(name.as_str()) => {
            format!("'{name}' is neither a variable nor a function")
        }
        E::NoSuchOverload(overload) => unfitting(overload.function(), overload.argument_types()),
        E::UnsupportedBinaryOperator(operator, left, right) => unfitting(
            sign_of(operator),
            &[left.type_of().to_string(), right.type_of().to_string()],
        ),
        E::UnexpectedType { want, .. } if want == "iterable" => {
            "only lists and maps have elements to go through".to_owned()
        }
        E::FunctionError { function, .. } => format!("'{function}' cannot be used on this value"),
        E::DivisionByZero(_) | E::RemainderByZero(_) => "it divides by zero".to_owned(),
        E::Overflow(..) => "a number becomes too large".to_owned(),
        E::IndexOutOfBounds(_) => "a list has fewer elements".to_owned(),
        E::InvalidArgumentCount { expected, .. } => {
            format!("a function takes another number of arguments ({expected})")
        }
        E::ValuesNotComparable(..) => "two values cannot be compared".to_owned(),
        E::UnsupportedKeyType(_) => "a value of this type cannot be a key".to_owned(),
        E::DuplicateKey(_) => "a map has a key twice".to_owned(),
        _ => "a value has a type that does not fit".to_owned(),
    }
}

fn unfitting(function: &str, types: &[String]) -> String {
    let types: Vec<&str> = types.iter().map(|name| name_of(name)).collect();
    if function == "_._" {
        let of = types.first().unwrap_or(&"no");
        return format!("a value of type {of} has no keys");
    }
    let operator = function.trim_matches(|c| c == '_' || c == '@');
    format!("'{operator}' does not work on {}", types.join(" and "))
}

fn sign_of(operator: &str) -> &str {
    match operator {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        other => other,
    }
}

fn name_of(of: &str) -> &str {
    of.trim_end_matches("_type")
}
