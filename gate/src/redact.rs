//! Takes obvious secrets out of lines of output. It cannot know every secret: it is the last of
//! several lines of defence, not the first.

use crate::secrets::{find_token, is_private_key_header, is_secret_key};

/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";

/// Takes secrets out of an output, line by line: a private key spans lines.
#[derive(Debug, Default)]
pub struct Redactor {
    in_private_key: bool,
}

impl Redactor {
    /// The line without known secrets.
    pub fn line(&mut self, line: &str) -> String {
        if self.in_private_key {
            self.in_private_key = !line.contains("-----END ");
            return REDACTED.to_owned();
        }
        if let Some((at, _)) = line
            .match_indices("-----BEGIN ")
            .find(|&(at, _)| is_private_key_header(&line[at..]))
        {
            self.in_private_key = !line[at..].contains("-----END ");
            return format!("{}{REDACTED}", redact(&line[..at]));
        }
        redact(line)
    }
}

/// The text with tokens in known forms, values assigned to secret keys (`password=...`, `"token":
/// "..."`), bearer credentials and passwords in URLs replaced.
pub fn redact(text: &str) -> String {
    without_url_passwords(&without_assignments(&without_tokens(text)))
}

fn without_tokens(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut from = 0;
    while let Some((_, range)) = find_token(text, from) {
        clean.push_str(&text[from..range.start]);
        clean.push_str(REDACTED);
        from = range.end;
    }
    clean.push_str(&text[from..]);
    clean
}

/// Replaces what follows `key=`, `key: ` and `Bearer `, with or without quotes.
fn without_assignments(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':', ' ']) {
        let after = &rest[at + 1..];
        let is_space = rest.as_bytes()[at] == b' ';
        clean.push_str(&rest[..at]);
        let key = last_word(&clean);
        let secret = if is_space {
            key.eq_ignore_ascii_case("bearer") || key.eq_ignore_ascii_case("basic")
        } else {
            is_secret_key(key)
        };
        clean.push_str(&rest[at..=at]);
        rest = if secret {
            replace_value(after, &mut clean)
        } else {
            after
        };
    }
    clean.push_str(rest);
    clean
}

/// Writes the text up to its first value and a mark for the value; gives back what follows it.
fn replace_value<'a>(after: &'a str, clean: &mut String) -> &'a str {
    let start = after
        .find(|character: char| !character.is_whitespace())
        .unwrap_or(after.len());
    let (space, value) = after.split_at(start);
    clean.push_str(space);
    // A reference or a URL scheme is worth reading and no secret; `Bearer x` is handled by its own word.
    let scheme = ["bearer ", "basic "].iter().any(|word| {
        value
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
    });
    if value.is_empty() || value.starts_with("${") || value.starts_with("//") || scheme {
        return value;
    }
    let quote = value
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''));
    let inner = &value[quote.map_or(0, char::len_utf8)..];
    if let Some(quote) = quote {
        clean.push(quote);
    }
    clean.push_str(REDACTED);
    let end = match quote {
        Some(quote) => inner.find(quote),
        None => {
            inner.find(|character: char| character.is_whitespace() || ",;&".contains(character))
        }
    };
    &inner[end.unwrap_or(inner.len())..]
}

/// The name right before an assignment, without quotes and command line dashes.
fn last_word(before: &str) -> &str {
    let trimmed = before.trim_end_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
    let start = trimmed
        .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
        .map_or(0, |at| {
            at + trimmed[at..].chars().next().map_or(1, char::len_utf8)
        });
    &trimmed[start..]
}

/// `scheme://user:password@host` without the password.
fn without_url_passwords(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let authority = after
            .find(|c: char| c.is_whitespace() || "/?#\"'".contains(c))
            .map_or(after, |end| &after[..end]);
        rest = after;
        if let Some((user, password)) = authority
            .rsplit_once('@')
            .and_then(|(info, _)| info.split_once(':'))
        {
            clean.push_str(user);
            clean.push(':');
            clean.push_str(REDACTED);
            rest = &after[user.len() + 1 + password.len()..];
        }
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assigned_secrets_are_replaced_and_the_rest_stays() {
        for (line, clean) in [
            ("password=hunter2", "password=[redacted]"),
            (
                "DB_PASSWORD = hunter2 host=db",
                "DB_PASSWORD = [redacted] host=db",
            ),
            ("--api-key=abc --verbose", "--api-key=[redacted] --verbose"),
            (
                r#"{"token": "a b", "n": 1}"#,
                r#"{"token": "[redacted]", "n": 1}"#,
            ),
            ("secret: 'x y' end", "secret: '[redacted]' end"),
            (
                "Authorization: Bearer abc.def",
                "Authorization: Bearer [redacted]",
            ),
            ("url?token=abc&x=1", "url?token=[redacted]&x=1"),
            (
                "https://bob:hunter2@host/x",
                "https://bob:[redacted]@host/x",
            ),
            ("password=${FROM_ENV}", "password=${FROM_ENV}"),
            (
                "token_url=https://id.example",
                "token_url=https://id.example",
            ),
            (
                "3 tests: 2 passed, ratio=0.5",
                "3 tests: 2 passed, ratio=0.5",
            ),
            ("password=", "password="),
            ("äö:ü password:ß", "äö:ü password:[redacted]"),
        ] {
            assert_eq!(redact(line), clean);
        }
    }

    #[test]
    fn tokens_are_replaced_wherever_they_stand() {
        let token = format!("ghp_{}", "a1B2".repeat(9));
        assert_eq!(
            redact(&format!("<{token}> {token}")),
            "<[redacted]> [redacted]"
        );
    }

    #[test]
    fn a_private_key_is_replaced_over_all_its_lines() {
        let mut redactor = Redactor::default();
        let clean: Vec<String> = [
            "key -----BEGIN PRIVATE KEY-----",
            "MIIEvQIBADANBg",
            "-----END PRIVATE KEY-----",
            "after",
        ]
        .iter()
        .map(|line| redactor.line(line))
        .collect();
        assert_eq!(clean, ["key [redacted]", REDACTED, REDACTED, "after"]);
    }
}
