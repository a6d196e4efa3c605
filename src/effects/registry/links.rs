//! Pages of lists: the `Link` header, followed only within the registry's API.

use reqwest::Url;
use reqwest::header::LINK;

use super::answer::Answer;
use super::error::{Problem, RegistryError};
use super::guard::{redacted, same_origin};

/// Address of the next page, when the answer names one.
///
/// # Errors
/// `Unreadable` when the header is malformed, or leads to another host, out of the API or back
/// to `current`.
pub(super) fn next_page(answer: &Answer, current: &Url) -> Result<Option<Url>, RegistryError> {
    let Some(text) = answer.header(&LINK)? else {
        return Ok(None);
    };
    next_of(text, current).map_err(|why| answer.error(Problem::unreadable(why)))
}

fn next_of(text: &str, current: &Url) -> Result<Option<Url>, String> {
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (target, after) = rest
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
            .ok_or("its Link header is malformed")?;
        let (parameters, next) = match after.find(",<").or_else(|| after.find(", <")) {
            Some(comma) => (&after[..comma], after[comma + 1..].trim_start()),
            None => (after, ""),
        };
        if is_next(parameters) {
            return checked(target, current).map(Some);
        }
        rest = next;
    }
    Ok(None)
}

fn is_next(parameters: &str) -> bool {
    parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .any(|(key, value)| {
            key.trim().eq_ignore_ascii_case("rel")
                && value
                    .trim()
                    .trim_matches('"')
                    .split(' ')
                    .any(|rel| rel.eq_ignore_ascii_case("next"))
        })
}

fn checked(target: &str, current: &Url) -> Result<Url, String> {
    let url = current
        .join(target)
        .map_err(|_| "its Link header names no address")?;
    if !same_origin(&url, current) || !url.path().starts_with("/v2/") {
        return Err(format!(
            "its Link header leads away to '{}'",
            redacted(&url)
        ));
    }
    if url == *current {
        return Err("its Link header leads back to the same page".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_followed_only_to_another_page_of_the_same_registry() {
        let current = "https://r.example/v2/a/tags/list?n=2".parse().unwrap();
        let next = |text| next_of(text, &current).map(|url| url.map(String::from));
        let expected = Ok(Some(
            "https://r.example/v2/a/tags/list?n=2&last=b".to_owned(),
        ));
        assert_eq!(
            next(r#"</v2/a/tags/list?n=2&last=b>; rel="next""#),
            expected
        );
        assert_eq!(
            next("<https://r.example:443/v2/a/tags/list?n=2&last=b>;rel=next"),
            expected
        );
        let two = r#"</v2/x>; rel="prev", </v2/a/tags/list?n=2&last=b>; title=x; REL="next""#;
        assert_eq!(next(two), expected);
        assert_eq!(next(r#"</v2/x>; rel="prev""#), Ok(None));
        for bad in [
            r#"<https://evil.example/v2/a/tags/list>; rel="next""#,
            r#"<//evil.example/v2/a>; rel="next""#,
            r#"<http://r.example/v2/a>; rel="next""#,
            r#"<https://r.example:444/v2/a>; rel="next""#,
            r#"<https://user@evil.example/v2/a>; rel="next""#,
            r#"</login>; rel="next""#,
            r#"</v2/a/tags/list?n=2>; rel="next""#,
            r#"/v2/a; rel="next""#,
        ] {
            assert!(next(bad).is_err(), "{bad}");
        }
    }
}
