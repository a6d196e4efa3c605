//! JUnit XML, as Maven Surefire, pytest, Go and many others write it. There is no standard: what is
//! counted are the elements, and what the attributes claim beyond them shows that the report is cut off.

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

use super::Tests;
use super::input::{Buffered, cannot_read};
use super::read::BadReport;
use super::tally::clean;

/// Most bytes of a test's name.
pub(super) const MAX_NAME_BYTES: usize = 96;
/// Most names that are handed on; a summary has room for fewer.
const MAX_NAMES: usize = 100;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;
/// Most bytes of a tag of which the attributes are read: each is compared with all others.
const MAX_TAG_BYTES: usize = 64 << 10;

pub(super) fn read(input: &mut Buffered<'_>) -> Result<Tests, BadReport> {
    let mut reader = Reader::from_reader(input);
    let mut document = Document::default();
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let event = match reader.read_event_into(&mut buffer) {
            Ok(Event::Eof) => return document.finish(),
            Ok(event) => event,
            Err(quick_xml::Error::Io(error)) => return Err(cannot_read(&error)),
            Err(_) => return Err(malformed(reader.error_position())),
        };
        document.take(&event, reader.buffer_position())?;
    }
}

#[derive(Default)]
struct Document {
    tests: Tests,
    open: Vec<Element>,
    has_root: bool,
}

enum Element {
    Suite(Suite),
    Case(Case),
    Other,
}

#[derive(Default)]
struct Suite {
    claimed: Found,
    found: Found,
}

/// What a suite holds, or says that it holds.
#[derive(Default)]
struct Found {
    tests: u64,
    failures: u64,
    errors: u64,
}

#[derive(Default)]
struct Case {
    class: String,
    name: String,
    failures: u64,
    errors: u64,
    skipped: bool,
}

impl Document {
    fn take(&mut self, event: &Event<'_>, at: u64) -> Result<(), BadReport> {
        match event {
            Event::Start(start) => self.start(start, at),
            Event::Empty(start) => {
                self.start(start, at)?;
                self.end()
            }
            Event::End(_) => self.end(),
            // It may define entities that grow without bound.
            Event::DocType(_) => Err(BadReport::new("the report has a DOCTYPE")),
            Event::Decl(declaration) => {
                let encoding = declaration.encoding().transpose();
                let encoding = encoding.map_err(|_| malformed(at))?.unwrap_or_default();
                let known = ["", "utf-8", "us-ascii"]
                    .iter()
                    .any(|known| encoding.eq_ignore_ascii_case(known));
                match () {
                    () if self.has_root => Err(malformed(at)),
                    () if !known => Err(BadReport::new("the report's encoding is not UTF-8")),
                    () => Ok(()),
                }
            }
            Event::Text(text) if self.open.is_empty() && !text.trim_ascii().is_empty() => {
                Err(malformed(at))
            }
            Event::CData(_) if self.open.is_empty() => Err(malformed(at)),
            Event::GeneralRef(entity) if self.open.is_empty() || !is_known(entity) => {
                Err(malformed(at))
            }
            _ => Ok(()),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>, at: u64) -> Result<(), BadReport> {
        if self.open.len() == MAX_DEPTH {
            return Err(BadReport::new(format!(
                "the report is nested deeper than {MAX_DEPTH} levels"
            )));
        }
        if self.open.is_empty() && self.has_root {
            return Err(malformed(at));
        }
        self.has_root = true;
        let misplaced = |what: &str| {
            Err(BadReport::new(format!(
                "the report is no JUnit XML: a {what} stands where none belongs"
            )))
        };
        let local_name = start.local_name();
        let element = match (local_name.as_ref(), self.open.last_mut()) {
            ("testsuites" | "testsuite", None | Some(Element::Suite(_))) => {
                Element::Suite(Suite::read(start, at)?)
            }
            (_, None) => {
                return Err(BadReport::new(
                    "the report is no JUnit XML: its root is no test suite",
                ));
            }
            ("testcase", Some(Element::Suite(_))) => Element::Case(Case::read(start, at)?),
            ("failure", Some(Element::Case(case))) => {
                case.failures += 1;
                Element::Other
            }
            ("error", Some(Element::Case(case))) => {
                case.errors += 1;
                Element::Other
            }
            ("skipped", Some(Element::Case(case))) => {
                case.skipped = true;
                Element::Other
            }
            ("testsuites" | "testsuite", _) => return misplaced("test suite"),
            ("testcase", _) => return misplaced("test case"),
            ("failure" | "error", _) => return misplaced("failure"),
            // Also Surefire's flakyFailure, a test that passed in the end, and its rerunFailure, which stands
            // beside a failure.
            _ => Element::Other,
        };
        self.open.push(element);
        Ok(())
    }

    fn end(&mut self) -> Result<(), BadReport> {
        let found = match self.open.pop() {
            Some(Element::Suite(suite)) => {
                suite.check()?;
                suite.found
            }
            Some(Element::Case(case)) => self.count(&case),
            Some(Element::Other) | None => return Ok(()),
        };
        if let Some(Element::Suite(outer)) = self.open.last_mut() {
            outer.found.tests += found.tests;
            outer.found.failures += found.failures;
            outer.found.errors += found.errors;
        }
        Ok(())
    }

    fn count(&mut self, case: &Case) -> Found {
        let tests = &mut self.tests;
        tests.tests += 1;
        // Each test is counted once; the worst that it says is what it is.
        if case.errors > 0 {
            tests.errors += 1;
        } else if case.failures > 0 {
            tests.failures += 1;
        } else if case.skipped {
            tests.skipped += 1;
        }
        if case.errors + case.failures > 0 {
            if tests.failed.len() < MAX_NAMES {
                tests.failed.push(case.shown());
            } else {
                tests.omitted += 1;
            }
        }
        Found {
            tests: 1,
            failures: case.failures,
            errors: case.errors,
        }
    }

    fn finish(self) -> Result<Tests, BadReport> {
        if !self.has_root {
            return Err(BadReport::new("the report is no JUnit XML: it has no root"));
        }
        if !self.open.is_empty() {
            return Err(BadReport::new("the report ends too early"));
        }
        Ok(self.tests)
    }
}

impl Suite {
    fn read(start: &BytesStart<'_>, at: u64) -> Result<Self, BadReport> {
        let mut suite = Self::default();
        each_attribute(start, at, |name, value| {
            let claim = match name {
                "tests" => &mut suite.claimed.tests,
                "failures" => &mut suite.claimed.failures,
                "errors" => &mut suite.claimed.errors,
                _ => return Ok(()),
            };
            *claim = value.trim().parse().map_err(|_| {
                BadReport::new("a test suite's number of tests, failures or errors is no number")
            })?;
            Ok(())
        })?;
        Ok(suite)
    }

    fn check(&self) -> Result<(), BadReport> {
        let Self { claimed, found } = self;
        for (what, claimed, found) in [
            ("tests", claimed.tests, found.tests),
            ("failures", claimed.failures, found.failures),
            ("errors", claimed.errors, found.errors),
        ] {
            if claimed > found {
                return Err(BadReport::new(format!(
                    "a test suite in the report says {claimed} {what} and holds {found}"
                )));
            }
        }
        Ok(())
    }
}

impl Case {
    fn read(start: &BytesStart<'_>, at: u64) -> Result<Self, BadReport> {
        let mut case = Self::default();
        each_attribute(start, at, |name, value| {
            match name {
                "classname" => case.class = clean(value, MAX_NAME_BYTES, true),
                "name" => case.name = clean(value, MAX_NAME_BYTES, true),
                // GoogleTest and CTest have no element for it.
                "status" => case.skipped |= matches!(value, "notrun" | "disabled"),
                _ => {}
            }
            Ok(())
        })?;
        Ok(case)
    }

    fn shown(&self) -> String {
        let shown = match (self.class.as_str(), self.name.as_str()) {
            ("", "") => "(a test without name)".to_owned(),
            ("", name) | (name, "") => name.to_owned(),
            (class, name) => format!("{class}.{name}"),
        };
        clean(&shown, MAX_NAME_BYTES, true)
    }
}

fn each_attribute(
    start: &BytesStart<'_>,
    at: u64,
    mut take: impl FnMut(&str, &str) -> Result<(), BadReport>,
) -> Result<(), BadReport> {
    if start.len() > MAX_TAG_BYTES {
        return Err(BadReport::new(format!(
            "a test's or test suite's tag in the report has more than {MAX_TAG_BYTES} bytes"
        )));
    }
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| malformed(at))?;
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|_| malformed(at))?;
        take(attribute.key.as_ref(), &value)?;
    }
    Ok(())
}

/// Whether XML has this entity without a DTD.
fn is_known(entity: &BytesRef<'_>) -> bool {
    match entity.resolve_char_ref() {
        Ok(Some(_)) => true,
        Ok(None) => resolve_xml_entity(entity).is_some(),
        Err(_) => false,
    }
}

fn malformed(at: u64) -> BadReport {
    BadReport::new(format!("the report is not well-formed XML (byte {at})"))
}
