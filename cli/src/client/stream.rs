//! Server-sent events: the lines of a response as messages.

use std::fmt::Display;

use atta_core::protocol::ant::LogStream;
use atta_core::protocol::api::LogEvent;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::Response;

use super::Server;
use crate::exit::{CommandResult, Exit, Failure};

/// A message longer than this is no message of our server.
const LONGEST_MESSAGE: usize = 16 << 20;

/// One message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its id: the cursor to go on from.
    pub(crate) id: String,
    /// Its kind.
    pub(crate) event: String,
    /// Its data.
    pub(crate) data: String,
}

/// What a message of a log that is followed says.
pub(super) enum LogMessage {
    /// A piece of it.
    Piece {
        /// Where in the log it begins.
        offset: u64,
        stream: LogStream,
        bytes: Vec<u8>,
    },
    /// There is no more.
    End,
    /// Something else.
    Other,
}

impl LogMessage {
    pub(super) fn read(message: Message) -> CommandResult<Self> {
        match message.event.as_str() {
            "log" => {}
            "end" => return Ok(Self::End),
            "error" => return Err(Failure::failed(message.data)),
            _ => return Ok(Self::Other),
        }
        let unreadable = |error: &dyn Display| {
            Failure::failed(format!("The server sent a piece of log that cannot be read: {error}."))
        };
        let event: LogEvent = serde_json::from_str(&message.data).map_err(|error| unreadable(&error))?;
        let bytes = match (event.text, event.base64) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(encoded)) => STANDARD.decode(encoded).map_err(|error| unreadable(&error))?,
            (None, None) => Vec::new(),
        };
        Ok(Self::Piece { offset: event.offset, stream: event.stream, bytes })
    }
}

/// The messages of a response.
pub(crate) struct Messages {
    body: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    parser: Parser,
    server: Server,
    /// Something came.
    heard: bool,
    dead: bool,
}

impl Messages {
    /// Reads the body of this response.
    pub(crate) fn new(server: &Server, response: Response) -> Self {
        let body = response.bytes_stream().boxed();
        Self { body, parser: Parser::default(), server: server.clone(), heard: false, dead: false }
    }

    /// Whether nothing at all came until it was given up, not even a sign of life: another line would be no better.
    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    /// The next message; `None` at the end of the stream. The server sends a sign of life when there is none.
    pub(crate) async fn next(&mut self) -> CommandResult<Option<Message>> {
        loop {
            if let Some(message) = self.parser.next_message() {
                return Ok(Some(message));
            }
            if self.parser.buffer.len() > LONGEST_MESSAGE {
                return Err(Failure::new(Exit::Failed, "STREAM", "The server sends a message without end."));
            }
            match self.server.part(self.body.next()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(bytes))) => {
                    self.heard = true;
                    self.parser.buffer.extend_from_slice(&bytes);
                }
                Ok(Some(Err(error))) => return Err(self.server.no_answer(&error)),
                Err(silent) => {
                    self.dead = !self.heard;
                    return Err(silent);
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Parser {
    buffer: Vec<u8>,
    /// Up to where lines were taken from the buffer.
    read: usize,
    message: Message,
    has_data: bool,
}

impl Parser {
    /// Takes complete lines until a message is complete.
    fn next_message(&mut self) -> Option<Message> {
        while let Some(length) = self.buffer[self.read..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.buffer[self.read..self.read + length]).into_owned();
            self.read += length + 1;
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                let complete = self.has_data || !self.message.event.is_empty();
                let message = std::mem::take(&mut self.message);
                self.has_data = false;
                if complete {
                    return Some(message);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => value.clone_into(&mut self.message.id),
                "event" => value.clone_into(&mut self.message.event),
                "data" => {
                    if self.has_data {
                        self.message.data.push('\n');
                    }
                    self.message.data.push_str(value);
                    self.has_data = true;
                }
                _ => {}
            }
        }
        self.buffer.drain(..self.read);
        self.read = 0;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(pieces: &[&str]) -> Vec<Message> {
        let mut parser = Parser::default();
        let mut found = Vec::new();
        for piece in pieces {
            parser.buffer.extend_from_slice(piece.as_bytes());
            while let Some(message) = parser.next_message() {
                found.push(message);
            }
        }
        found
    }

    #[test]
    fn messages_are_put_together_from_pieces_of_any_size() {
        let text = ": hello\n\nid: 7\nevent: a\ndata: one\ndata: two\n\ndata:x\r\n\r\n";
        let whole = messages(&[text]);
        let pieces: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(whole, messages(&pieces.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(
            whole,
            [
                Message { id: "7".into(), event: "a".into(), data: "one\ntwo".into() },
                Message { id: String::new(), event: String::new(), data: "x".into() },
            ]
        );
    }

    #[test]
    fn a_message_that_breaks_off_is_none() {
        assert_eq!(messages(&["data: half"]), []);
    }
}
