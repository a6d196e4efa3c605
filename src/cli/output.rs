//! The only place that prints: results to standard output, everything else to standard error.
#![expect(clippy::print_stderr, reason = "this is the one place")]

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use super::ExitCode;

/// Columns of a terminal that does not say how many it has.
const USUAL_WIDTH: usize = 80;

/// Prints a text to standard output.
pub(super) fn text(text: &str) -> ExitCode {
    document(&printable(text))
}

/// Writes to standard output for another program, as it is.
pub(super) fn document(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever closed the pipe (`| head`) has read what they wanted.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => failure(
            ExitCode::Unexpected,
            &format!("cannot write the result: {error}"),
        ),
        _ => ExitCode::Done,
    }
}

/// Says on standard error why a command failed.
pub(super) fn failure(code: ExitCode, message: &dyn Display) -> ExitCode {
    eprintln!("floe: {}", printable(&message.to_string()));
    code
}

/// Says something on standard error.
pub(super) fn note(message: &str) {
    eprintln!("{}", printable(message));
}

/// Shows what is to be done and asks whether it should be. Nothing when nobody is there to answer.
pub(super) fn ask(plan: &str, question: &str) -> Option<bool> {
    let mut error = std::io::stderr();
    if !std::io::stdin().is_terminal() || !error.is_terminal() {
        return None;
    }
    eprint!("{}\n{}", printable(plan), printable(question));
    let _ = error.flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    Some(read.is_ok() && yes)
}

/// Prints help, version or what was wrong with the arguments.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    // Where standard output is closed there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::Usage
    } else {
        ExitCode::Done
    }
}

/// A block of lines on a terminal that is drawn again and again in the same place.
pub(super) struct Screen {
    width: usize,
    drawn: usize,
}

impl Screen {
    /// The terminal behind standard error, when it is one.
    pub(super) fn new() -> Option<Self> {
        let error = std::io::stderr();
        if !error.is_terminal() {
            return None;
        }
        let width = terminal_size::terminal_size_of(&error)
            .map_or(USUAL_WIDTH, |(width, _)| usize::from(width.0));
        Some(Self { width, drawn: 0 })
    }

    /// Draws these lines over the last ones.
    pub(super) fn draw(&mut self, lines: &[String]) {
        let mut frame = self.erase();
        for line in lines {
            // A line that wraps would take two rows, and the next frame would start too low.
            let line = printable(line);
            frame.extend(line.chars().take(self.width.saturating_sub(1)));
            frame.push('\n');
        }
        self.drawn = lines.len();
        eprint!("{frame}");
    }

    /// Takes the lines away.
    pub(super) fn clear(&mut self) {
        let frame = self.erase();
        self.drawn = 0;
        eprint!("{frame}");
    }

    /// Up to the first line of the last frame, and clear to the end of the screen.
    fn erase(&self) -> String {
        match self.drawn {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\r\x1b[J"),
        }
    }
}

/// Without control characters: what a gate printed, or a stranger wrote into an object, must not steer
/// the terminal.
fn printable(text: &str) -> String {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.replace(steers, "\u{fffd}")
}
