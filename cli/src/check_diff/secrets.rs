//! What secrets look like. The table is ours, each row with a test; nothing of what is found is ever shown.

use std::collections::HashMap;

use regex_lite::{Captures, Regex};

/// One kind of secret.
pub(super) struct Rule {
    /// Its stable name.
    pub(super) name: &'static str,
    /// In words.
    pub(super) what: &'static str,
    /// Without one of these in a line there is none; quick to look for.
    needles: &'static [&'static str],
    pattern: Regex,
    /// Whether what was found is one after all.
    check: fn(&Captures<'_>) -> bool,
}

fn any(_: &Captures<'_>) -> bool {
    true
}

/// Name, words, needles, pattern.
type Row = (&'static str, &'static str, &'static [&'static str], &'static str);

const ROWS: [Row; 38] = [
    ("github-token", "a token of GitHub", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    ("github-pat", "a fine-grained token of GitHub", &["github_pat_"], r"github_pat_[A-Za-z0-9_]{22,255}"),
    ("gitlab-token", "a token of GitLab", &["glpat-"], r"glpat-[A-Za-z0-9_-]{20,}"),
    (
        "aws-access-key",
        "an access key of AWS",
        &["AKIA", "ASIA", "ABIA", "ACCA"],
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    ),
    ("google-api-key", "an API key of Google", &["AIza"], r"AIza[0-9A-Za-z_-]{35}"),
    ("google-oauth-secret", "an OAuth secret of Google", &["GOCSPX-"], r"GOCSPX-[A-Za-z0-9_-]{28}"),
    ("google-oauth-token", "an OAuth token of Google", &["ya29."], r"ya29\.[0-9A-Za-z_-]{20,}"),
    ("slack-token", "a token of Slack", &["xox"], r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("slack-app-token", "an app token of Slack", &["xapp-"], r"xapp-[0-9]-[A-Z0-9]+-[0-9]+-[a-z0-9]{20,}"),
    (
        "slack-webhook",
        "a webhook of Slack",
        &["hooks.slack.com"],
        r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9]+/[A-Za-z0-9]+/[A-Za-z0-9]{20,}",
    ),
    ("stripe-key", "a key of Stripe", &["k_live_", "k_test_"], r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("stripe-webhook", "a webhook secret of Stripe", &["whsec_"], r"whsec_[A-Za-z0-9+/=]{24,}"),
    ("anthropic-key", "an API key of Anthropic", &["sk-ant-"], r"sk-ant-[A-Za-z0-9_-]{24,}"),
    (
        "openai-project-key",
        "an API key of OpenAI",
        &["sk-proj-", "sk-svcacct-", "sk-admin-"],
        r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}",
    ),
    (
        "openai-key",
        "an API key of OpenAI",
        &["sk-"],
        r"\bsk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}\b|\bsk-[A-Za-z0-9]{48}\b",
    ),
    ("openrouter-key", "an API key of OpenRouter", &["sk-or-"], r"sk-or-v1-[a-f0-9]{64}"),
    (
        "private-key",
        "a private key",
        &["PRIVATE KEY", "PuTTY-User-Key-File"],
        r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-[0-9]",
    ),
    ("age-key", "a key of age", &["AGE-SECRET-KEY-"], r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    ("jwt", "a JSON Web Token", &["eyJ"], r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    ("npm-token", "a token of npm", &["npm_"], r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("npm-auth", "a login of npm", &["_authToken"], r"_authToken\s*=\s*[A-Za-z0-9_-]{16,}"),
    ("pypi-token", "a token of PyPI", &["pypi-"], r"pypi-[A-Za-z0-9_-]{50,}"),
    ("crates-token", "a token of crates.io", &["cio"], r"\bcio[A-Za-z0-9]{32}\b"),
    ("rubygems-key", "an API key of RubyGems", &["rubygems_"], r"rubygems_[a-f0-9]{48}"),
    ("docker-token", "a token of Docker", &["dckr_"], r"dckr_[op]at_[A-Za-z0-9_-]{20,}"),
    ("huggingface-token", "a token of Hugging Face", &["hf_"], r"\bhf_[A-Za-z0-9]{34,}\b"),
    ("sendgrid-key", "an API key of SendGrid", &["SG."], r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    ("twilio-key", "an API key of Twilio", &["SK"], r"\bSK[0-9a-f]{32}\b"),
    ("telegram-token", "a token of a Telegram bot", &[":AA"], r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b"),
    (
        "discord-webhook",
        "a webhook of Discord",
        &["/api/webhooks/"],
        r"discord(?:app)?\.com/api/webhooks/[0-9]+/[A-Za-z0-9_-]{60,}",
    ),
    ("azure-storage-key", "a storage key of Azure", &["AccountKey="], r"AccountKey=[A-Za-z0-9+/]{86}=="),
    ("digitalocean-token", "a token of DigitalOcean", &["_v1_"], r"do[opr]_v1_[a-f0-9]{64}"),
    ("vault-token", "a token of Vault", &["hvs."], r"\bhvs\.[A-Za-z0-9_-]{24,}"),
    ("shopify-token", "a token of Shopify", &["shp"], r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    ("linear-key", "an API key of Linear", &["lin_api_"], r"lin_api_[A-Za-z0-9]{40}"),
    ("atlassian-token", "a token of Atlassian", &["ATATT3"], r"ATATT3[A-Za-z0-9_=-]{50,}"),
    ("tailscale-key", "a key of Tailscale", &["tskey-"], r"tskey-[a-z]+-[A-Za-z0-9]+-[A-Za-z0-9]{16,}"),
    ("databricks-token", "a token of Databricks", &["dapi"], r"\bdapi[a-f0-9]{32}\b"),
];

const IN_ADDRESS: &str = r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@'\x22]*:([^/\s:@'\x22]{6,})@";
const ASSIGNED: &str = r#"(?i)(?:passw(?:or)?d|passphrase|secret|token|api_?-?key|access_?-?key|private_?-?key|credential|auth_?-?key)[A-Za-z0-9_]*["'`]?\s*(?:=>|:=|==?|:)\s*["'`]?([A-Za-z0-9+/_=.~!@#%^&*-]{16,})"#;

/// All rules.
pub(super) fn rules() -> Result<Vec<Rule>, regex_lite::Error> {
    let mut rules = Vec::with_capacity(ROWS.len() + 2);
    for (name, what, needles, pattern) in ROWS {
        rules.push(Rule { name, what, needles, pattern: Regex::new(pattern)?, check: any });
    }
    let (needles, pattern) = (&["://"], Regex::new(IN_ADDRESS)?);
    let what = "a password in an address";
    rules.push(Rule {
        name: "password-in-address",
        what,
        needles,
        pattern,
        check: |found| !is_placeholder(value(found)),
    });
    rules.push(Rule {
        name: "assigned",
        what: "a random value under the name of a secret",
        needles: &["=", ":"],
        pattern: Regex::new(ASSIGNED)?,
        check: |found| is_random(value(found)),
    });
    Ok(rules)
}

fn value<'t>(found: &Captures<'t>) -> &'t str {
    found.get(1).map_or("", |value| value.as_str())
}

impl Rule {
    /// Whether a line has one.
    pub(super) fn finds(&self, line: &str) -> bool {
        self.needles.iter().any(|needle| line.contains(needle))
            && self.pattern.captures_iter(line).any(|found| (self.check)(&found))
    }
}

/// What stands for a value that is filled in elsewhere.
fn is_placeholder(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "example",
        "placeholder",
        "changeme",
        "your",
        "xxxx",
        "****",
        "dummy",
        "password",
        "secret",
        "redacted",
        "${",
        "{{",
    ];
    let small = text.to_ascii_lowercase();
    WORDS.iter().any(|word| small.contains(word)) || small.starts_with(['$', '<', '%', '{'])
}

/// Whether a value looks as if nobody had thought it up: letters and digits, and hardly any of them twice.
fn is_random(text: &str) -> bool {
    let text = text.trim_end_matches([',', ';', '.', ')']);
    let has = |kind: fn(&char) -> bool| text.chars().any(|c| kind(&c));
    text.len() >= 16
        && has(char::is_ascii_digit)
        && has(char::is_ascii_alphabetic)
        && !is_placeholder(text)
        // A path, a name in a program, a version.
        && text.matches(['.', '/', '-']).count() * 6 <= text.len()
        && entropy(text) >= 3.4
}

/// Bits of a character.
#[expect(clippy::cast_precision_loss, reason = "lines are short")]
fn entropy(text: &str) -> f64 {
    let mut counts: HashMap<char, u32> = HashMap::new();
    for c in text.chars() {
        *counts.entry(c).or_default() += 1;
    }
    let all = text.chars().count() as f64;
    counts.values().map(|count| f64::from(*count) / all).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<&'static str> {
        rules().unwrap().iter().filter(|rule| rule.finds(line)).map(|rule| rule.name).collect()
    }

    /// Letters and digits that nobody takes for a real one, put together here so that no scanner finds them in this file.
    fn some(length: usize) -> String {
        "Ab3dE6gH1jK4mN7pQ0sT".chars().cycle().take(length).collect()
    }

    fn hex(length: usize) -> String {
        "0123456789abcdef".chars().cycle().take(length).collect()
    }

    fn upper(length: usize) -> String {
        some(length).to_ascii_uppercase()
    }

    #[test]
    fn every_rule_finds_its_secret() {
        let cases: Vec<(&str, String)> = vec![
            ("github-token", format!("ghp_{}", some(36))),
            ("github-pat", format!("github_pat_{}", some(82))),
            ("gitlab-token", format!("glpat-{}", some(20))),
            ("aws-access-key", format!("AKIA{}", upper(16))),
            ("google-api-key", format!("AIza{}", some(35))),
            ("google-oauth-secret", format!("GOCSPX-{}", some(28))),
            ("google-oauth-token", format!("ya29.{}", some(40))),
            ("slack-token", format!("xoxb-1234567890-{}", some(24))),
            ("slack-app-token", format!("xapp-1-A012-345-{}", hex(40))),
            ("slack-webhook", format!("https://hooks.slack.com/services/T012/B345/{}", some(24))),
            ("stripe-key", format!("sk_live_{}", some(24))),
            ("stripe-webhook", format!("whsec_{}", some(32))),
            ("anthropic-key", format!("sk-ant-api03-{}", some(90))),
            ("openai-project-key", format!("sk-proj-{}", some(60))),
            ("openai-key", format!("sk-{}", some(48))),
            ("openrouter-key", format!("sk-or-v1-{}", hex(64))),
            ("private-key", format!("-----BEGIN RSA {} KEY-----", "PRIVATE")),
            ("age-key", format!("AGE-SECRET-KEY-1{}", upper(58))),
            ("jwt", format!("eyJ{}.eyJ{}.{}", some(20), some(20), some(20))),
            ("npm-token", format!("npm_{}", some(36))),
            ("npm-auth", format!("//registry.npmjs.org/:_authToken={}", some(36))),
            ("pypi-token", format!("pypi-{}", some(80))),
            ("crates-token", format!("cio{}", some(32))),
            ("rubygems-key", format!("rubygems_{}", hex(48))),
            ("docker-token", format!("dckr_pat_{}", some(27))),
            ("huggingface-token", format!("hf_{}", some(34))),
            ("sendgrid-key", format!("SG.{}.{}", some(22), some(43))),
            ("twilio-key", format!("SK{}", hex(32))),
            ("telegram-token", format!("123456789:AA{}", some(33))),
            ("discord-webhook", format!("https://discord.com/api/webhooks/123/{}", some(68))),
            ("azure-storage-key", format!("AccountKey={}==", some(86))),
            ("digitalocean-token", format!("dop_v1_{}", hex(64))),
            ("vault-token", format!("hvs.{}", some(24))),
            ("shopify-token", format!("shpat_{}", hex(32))),
            ("linear-key", format!("lin_api_{}", some(40))),
            ("atlassian-token", format!("ATATT3{}", some(60))),
            ("tailscale-key", format!("tskey-auth-{}-{}", some(12), some(20))),
            ("databricks-token", format!("dapi{}", hex(32))),
            ("password-in-address", "postgres://app:hunter2hunter2@db/app".to_owned()),
            ("assigned", format!("db_password = \"{}\"", some(20))),
        ];
        assert_eq!(cases.len(), rules().unwrap().len(), "a case for every rule");
        for (rule, line) in cases {
            assert!(found(&line).contains(&rule), "{rule}: {:?}", found(&line));
            assert!(found(&format!("let x = \"{line}\"; // y")).contains(&rule), "{rule} inside of a line");
        }
    }

    #[test]
    fn names_of_keys_lines_of_json_and_what_is_filled_in_elsewhere_are_no_secrets() {
        for line in [
            "password = os.environ[\"PASSWORD\"]",
            "token: ${{ secrets.GITHUB_TOKEN }}",
            "TOKEN=\"$OTHER_TOKEN\"",
            "let api_key = config.api_key_from_environment();",
            "secret: {{ secrets.Deploy }}",
            "password: changeme-please-1234",
            "access_key = \"your-access-key-here-1\"",
            "url = \"https://user:${PASSWORD}@host/x\"",
            "see https://example.com/a:b for the token",
            "token_count: 1234567890123456789",
            "fn a_secret_is_never_shown_in_any_output() {",
            "sk-learn, sk-image",
            "integrity sha512-abc",
            "AKIAIOSFODNN7",
            "api_key_path: /etc/app/keys/api-key-2024.json",
        ] {
            assert_eq!(found(line), Vec::<&str>::new(), "{line}");
        }
    }
}
