//! The records that a filter lets through.

use jiff::Timestamp;

use super::args::{ChainArguments, FilterArguments};
use super::report::ChainReport;
use super::targets::Targets;
use crate::cli::platform::failure::Result;
use crate::cli::{ExitCode, output};
use crate::domain::audit::{Content, Signed};
use crate::domain::record::Recorded;
use crate::effects::audit::Depth;

/// One genuine record.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) signed: Signed,
    pub(super) content: Content,
    pub(super) recorded: Recorded,
}

impl FilterArguments {
    fn takes(&self, content: &Content) -> bool {
        let decided: Timestamp = content.decided_at;
        self.person
            .as_ref()
            .is_none_or(|person| content.concerns(person))
            && self.since.is_none_or(|since| decided >= since)
            && self.until.is_none_or(|until| decided < until)
            && self
                .result
                .as_ref()
                .is_none_or(|result| content.result.eq_ignore_ascii_case(result))
    }
}

/// The genuine records that the filter lets through, each chain from its newest; and the exit code, which says whether
/// these are all. What is wrong is said on standard error.
pub(super) async fn rows(
    targets: &Targets,
    arguments: &ChainArguments,
    filter: &FilterArguments,
) -> Result<(Vec<Row>, ExitCode)> {
    let mut rows = Vec::new();
    let mut code = ExitCode::Done;
    for target in &targets.chains {
        let each = |signed: &Signed, recorded: &Recorded| {
            if let Some(content) = signed.promotion().filter(|content| filter.takes(content)) {
                rows.push(Row {
                    signed: signed.clone(),
                    content: content.clone(),
                    recorded: recorded.clone(),
                });
            }
        };
        let report = match targets
            .read(target, arguments, Depth::Chain, None, each)
            .await
        {
            Ok(verified) => ChainReport::of(&target.chain, &verified),
            Err(failure) => ChainReport::unread(
                &target.chain,
                &failure.to_string(),
                failure.code == ExitCode::NotAuthorized,
            ),
        };
        if let Some(complaint) = report.complaint() {
            output::failure(report.code(), &complaint);
            if code != ExitCode::GateFailed {
                code = report.code();
            }
        }
    }
    Ok((rows, code))
}
