#!/bin/bash
# A stand-in for a coding agent: speaks the line protocol of `custom`, writes down that it was begun, and does what the file
# modes/ISSUE says of its issue.
set -eu
prompt=$(cat)
branch=${BRANCH:-ai/0-}
issue=${branch#ai/}
issue=${issue%-*} # what follows it is the nonce
task=$ATTA_TASK_TYPE
mode=$(cat "@DIR@/modes/$issue" 2>/dev/null || echo plain)
session=${ATTA_AGENT_SESSION:-}
[ -n "$session" ] || echo "$issue $ATTA_JOB_ID $task $ATTA_TASK_VISIT" >>"@DIR@/sessions"
mkdir -p "@DIR@/seen"
printf '%s\n' "$prompt" >"@DIR@/seen/$issue.$task.$ATTA_TASK_VISIT.prompt"
env >"@DIR@/seen/$issue.$task.$ATTA_TASK_VISIT.environment"
# What is in the frame.
for file in "${ATTA_AGENT_CONTEXT:-none}"/*; do
    [ ! -f "$file" ] || { grep -v '^\[[0-9a-f]*\]' "$file" || true; } >"@DIR@/seen/$issue.$task.$ATTA_TASK_VISIT.${file##*/}"
done
echo "{\"type\":\"session\",\"id\":\"${session:-session-$$}\"}"
echo '{"type":"turn"}'

result() { jq -nc --arg text "$1" '{type: "result", text: $text}'; }
once() { [ ! -e "@DIR@/modes/$issue.$1" ] && touch "@DIR@/modes/$issue.$1"; }
fail() {
    jq -nc --arg class "$1" '{type: "result", is_error: true, $class, message: "it went wrong"}'
    exit 0
}
change() {
    echo "$2" >>"$1"
    git add "$1"
    git commit -qm "$2"
}

case $mode.$task in
    limited.plan | limited.review)
        if [ ! -e "@DIR@/modes/$issue.was-limited" ]; then
            touch "@DIR@/modes/$issue.was-limited"
            echo '{"type":"limit","message":"used up"}'
            echo '{"type":"result","is_error":true,"class":"rate_limited","message":"used up"}'
            exit 0
        fi
        ;;
    endless.plan) # it says what it does, and does not come to an end
        for _ in 1 2 3 4; do
            echo turn >>"@DIR@/turns"
            echo '{"type":"turn"}'
        done
        exec sleep 600
        ;;
    expired.plan) fail auth ;;
    loggedout.plan) if once was-loggedout; then fail auth; fi ;;
    crashed.implement) if once was-crashed; then fail error; fi ;;
    raced.address-feedback | clashing.address-feedback) # a reviewer pushes meanwhile
        if [ "$ATTA_TASK_VISIT" = 1 ]; then
            file=theirs.txt
            [ "$mode" = raced ] || file=feature-$issue.txt
            theirs="@DIR@/reviewer-$issue"
            git clone -q --branch "$branch" "@DIR@/project.git" "$theirs"
            echo theirs >>"$theirs/$file"
            git -C "$theirs" add .
            git -C "$theirs" -c user.name=Ada -c user.email=ada@example.com commit -qm Theirs
            git -C "$theirs" push -q
        fi
        ;;
    waiting.address-feedback) # somebody does something meanwhile
        touch "@DIR@/modes/$issue.waits"
        until [ -e "@DIR@/modes/$issue.go" ]; do sleep 0.05; done
        ;;
    breaking.address-feedback) change broken "Break it" ;;
    reaching.address-feedback) mkdir -p .github/workflows && change .github/workflows/ci.yml "on: push" ;;
    blocked.plan) result '{"status": "blocked", "plan": "none", "questions": ["Which colour?"]}' && exit 0 ;;
    silent.implement) change "feature-$issue.txt" "Add feature $issue" && result 'It is all fine.' && exit 0 ;;
    idle.implement) result '{"status": "done", "summary": "Nothing was needed."}' && exit 0 ;;
    failing.implement | mended.implement) change broken "Break it" ;;
    mended.fix-tests) git rm -q broken && git commit -qm "Mend it" ;;
    unsure.self-verify)
        if [ "$ATTA_TASK_VISIT" = 1 ]; then
            result '{"status": "tests_failing", "summary": "Not yet.", "findings": ["the greeting is missing"]}' && exit 0
        fi
        ;;
esac

case $task in
    plan) result "{\"status\": \"done\", \"plan\": \"PLAN-OF-$issue: write feature-$issue.txt\", \"unresolved\": [\"the colour was guessed\"]}" ;;
    implement) change "feature-$issue.txt" "Add feature $issue" && result '{"status": "done", "summary": "It greets now.", "unresolved": ["no translation"]}' ;;
    fix-tests) change "fix-$issue.txt" "Look into it" && result '{"status": "done", "summary": "Looked into it."}' ;;
    self-verify) result '{"status": "done", "summary": "All wishes are met.", "findings": []}' ;;
    address-feedback)
        if git rev-parse -q --verify refs/worktree/base >/dev/null && grep -q 'conflicts with' "$ATTA_AGENT_CONTEXT/feedback.md"; then
            git merge -q -X ours -m "Merge the base" refs/worktree/base >&2
        elif ! grep -q 'thank you' "$ATTA_AGENT_CONTEXT/feedback.md"; then
            change "feature-$issue.txt" "Follow the feedback, visit $ATTA_TASK_VISIT"
        fi
        answers=$(grep -o '^## Comment [0-9]*' "$ATTA_AGENT_CONTEXT/feedback.md" | jq -Rnc '[inputs | {id: (.[11:] | tonumber), answer: "Answer to \(.[11:])."}]')
        result "{\"status\": \"done\", \"summary\": \"Followed.\", \"answers\": ${answers:-[]}}"
        ;;
    learn) result "{\"lesson\": \"LESSON-OF-$issue\"}" ;;
    review) result '{"summary": "A look was had.", "findings": [{"file": "a.txt", "line": 3, "text": "This is wrong."}]}' ;;
esac
