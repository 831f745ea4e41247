//! What agents find around them: files of a checkout that tell them what to do or are run for them, and variables.

use std::ffi::OsStr;

/// Globs relative to the repository; `**/` is any directory, the top included. docs/security.md has the same list.
pub const AGENT_CONFIGURATION: [&str; 35] = [
    "**/CLAUDE.md",
    "**/CLAUDE.local.md",
    "**/.claude/**",
    "**/.mcp.json",
    "**/AGENTS.md",
    "**/AGENTS.override.md",
    "**/AGENT.md",
    "**/.agents/**",
    "**/.codex/**",
    "**/GEMINI.md",
    "**/.gemini/**",
    "**/.geminiignore",
    "**/opencode.json",
    "**/opencode.jsonc",
    "**/.opencode/**",
    "**/.goosehints",
    "**/.gooseignore",
    "**/.goose/**",
    ".github/copilot-instructions.md",
    ".github/instructions/**",
    ".github/prompts/**",
    ".github/agents/**",
    ".github/hooks/**",
    "**/.copilot/**",
    "**/.cursor/**",
    "**/.cursorrules",
    "**/.cursorignore",
    "**/.aider*",
    "**/.aider*/**",
    "**/.atta/**",
    // Some take the address of their model's API from there, and send it their key.
    "**/.env",
    ".vscode/mcp.json",
    ".vscode/settings.json",
    ".husky/**",
    ".githooks/**",
];

/// Variables by which agents tell the programs that they start that they are started by an agent. One that is started from
/// within another one must not take itself for a part of it. They are left out of what an agent inherits; what a definition
/// sets is set.
const LEFT_BY_AGENTS: [&str; 30] = [
    "AGENT",
    "AI_AGENT",
    "CLAUDECODE",
    "CLAUDE_CODE_CHILD_SESSION",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_EXECPATH",
    "CLAUDE_CODE_PARENT_SESSION_ID",
    "CLAUDE_CODE_SESSION_ACCESS_TOKEN",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_CODE_SSE_PORT",
    "CLAUDE_EFFORT",
    "CODEX_CI",
    "CODEX_INTERNAL_ORIGINATOR_OVERRIDE",
    "CODEX_MANAGED_BY_NPM",
    "CODEX_SANDBOX",
    "CODEX_SANDBOX_NETWORK_DISABLED",
    "CODEX_THREAD_ID",
    "COPILOT_AGENT_SESSION_ID",
    "COPILOT_CLI",
    "CURSOR_AGENT",
    "CURSOR_INVOKED_AS",
    "CURSOR_TRACE_ID",
    "GEMINI_CLI",
    "GEMINI_CLI_NO_RELAUNCH",
    "GOOSE_TERMINAL",
    "OPENCODE",
    "OPENCODE_CALLER",
    "OPENCODE_PID",
    "OPENCODE_PROCESS_ROLE",
    "OPENCODE_RUN_ID",
];

/// Whether an agent has left this variable for the programs that it starts.
pub fn is_left_by_agents(name: &OsStr) -> bool {
    LEFT_BY_AGENTS.iter().any(|left| name == OsStr::new(left))
}
