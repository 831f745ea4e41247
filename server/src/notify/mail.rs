//! E-mails, by SMTP.

use std::time::{Duration, SystemTime};

use atta_core::resilience::root_cause;
use atta_core::time::UnixMillis;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::Failed;

/// Sends e-mails by one server.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Why e-mails cannot be sent as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The URL. It holds a password and is not shown.
    #[error(
        "the SMTP server's URL cannot be used: {0}; write smtps://USER:PASSWORD@HOST, smtp://HOST:587?tls=required, or smtp://HOST without encryption"
    )]
    Url(String),
    /// The sender.
    #[error("{0:?} is no e-mail address to send from")]
    From(String),
}

/// A message to send.
pub(super) struct Mail {
    pub(super) to: String,
    pub(super) from: Option<String>,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) delivery: String,
    pub(super) at: UnixMillis,
}

impl Mailer {
    /// By the server at `url`, from `from` where a definition does not say otherwise.
    pub fn new(url: &str, from: &str) -> Result<Self, MailError> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|error| MailError::Url(error.to_string().replace(url, "…")))?;
        let from = from.parse().map_err(|_| MailError::From(from.to_owned()))?;
        Ok(Self { transport: builder.timeout(Some(Duration::from_secs(10))).build(), from })
    }

    pub(super) async fn send(&self, mail: Mail, timeout: Duration) -> Result<(), Failed> {
        let message = self.message(&mail)?;
        match tokio::time::timeout(timeout, self.transport.send(message)).await {
            Err(_) => Err(Failed::away("the SMTP server did not answer in time")),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let reason = format!("the SMTP server did not take it: {}", root_cause(&error));
                Err(match error.status().map(u16::from) {
                    _ if error.is_permanent() => Failed::refused(reason),
                    // It closes the connection: it does not work at present, whoever is to be told.
                    Some(421) | None => Failed::away(reason),
                    // One mailbox that is full or held up; the next one may well take it.
                    Some(_) => Failed::once(reason),
                })
            }
        }
    }

    fn message(&self, mail: &Mail) -> Result<Message, Failed> {
        let to = address(&mail.to)?;
        let from = mail.from.as_deref().map(address).transpose()?.unwrap_or_else(|| self.from.clone());
        let domain = from.email.domain().to_owned();
        let at = u64::try_from(mail.at.0).unwrap_or(0);
        // One line, whatever stands in it: a line break would begin another header.
        let subject: String = mail.subject.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
        let header = |name| HeaderName::new_from_ascii_str(name);
        let built = Message::builder()
            .from(from)
            .to(to)
            .subject(subject.trim())
            .date(SystemTime::UNIX_EPOCH + Duration::from_millis(at))
            .message_id(Some(format!("<{}@{domain}>", mail.delivery)))
            .raw_header(HeaderValue::new(header("Auto-Submitted"), "auto-generated".to_owned()))
            .raw_header(HeaderValue::new(header("X-Atta-Delivery"), mail.delivery.clone()))
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone());
        built.map_err(|error| Failed::for_good(format!("the e-mail cannot be written: {error}")))
    }
}

/// One address. What could begin another header or another recipient is refused.
fn address(text: &str) -> Result<Mailbox, Failed> {
    let refused = || Failed::for_good(format!("{:?} is no e-mail address", text.chars().take(100).collect::<String>()));
    if text.chars().any(char::is_control) {
        return Err(refused());
    }
    text.trim().parse().map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(to: &str, subject: &str) -> Mail {
        Mail {
            to: to.to_owned(),
            from: None,
            subject: subject.to_owned(),
            text: "hello\r\n.\r\nQUIT".to_owned(),
            delivery: "ntf_1".to_owned(),
            at: UnixMillis(1_767_571_200_000),
        }
    }

    #[test]
    fn no_value_begins_another_header() {
        let mailer = Mailer::new("smtp://localhost", "Atta <atta@example.org>").unwrap();
        let message = mailer.message(&mail("a@example.org", "done\r\nBcc: evil@example.org\r\n\r\nbody")).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        assert!(!text.lines().any(|line| line.starts_with("Bcc:")), "{text}");
        assert_eq!(message.envelope().to().len(), 1);
        for hostile in ["a@example.org\r\nBcc: evil@example.org", "a@example.org, b@example.org", "nobody", ""] {
            let refused = mailer.message(&mail(hostile, "x")).unwrap_err();
            assert!(refused.for_good && refused.reason.contains("is no e-mail address"), "{refused:?}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_is_explained_without_its_password() {
        for url in ["nonsense", "http://user:hunter2@host", "smtp://user:hunter2@host?tls=perhaps"] {
            let error = Mailer::new(url, "a@example.org").map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("smtps://USER:PASSWORD@HOST") && !error.contains("hunter2"), "{error}");
        }
        assert_eq!(Mailer::new("smtp://h", "nobody").map(|_| ()).unwrap_err(), MailError::From("nobody".to_owned()));
    }
}
