"""The inbox beside a store: how pages, which never open the store for writing, add people's verdicts and choices.

A page writes one slip: a JSON file renamed into `<store>.inbox/` (`results.duckdb.inbox/`, 0700, files 0600, written
beside, flushed, renamed). A command or the short-lived process that a page starts (`mergescope inbox STORE`) takes the
slips in: their rows go into the store in one transaction, then the files are deleted. A slip's id is the hash of what
it says and the row's key, so that a slip that is taken in twice (two takers, a kill between commit and delete) is one
row. Until a slip is taken in, pages lay it over what the store has. What is no slip goes to `<store>.inbox/aside/` and
one line beside it, `NAME.why`, says what is wrong; nothing is deleted there.

A slip is one object on one line. Times are ISO 8601 with an offset; all fields are required unless a default is said.

A person's verdict on one text as the answer to one prompt, on one axis (tables `verdict`, contract of eval.labels):

    {"form": "verdict/1", "text_id": "t1_…", "prompt_id": "q1_…", "axis": "safety",
     "value": 4, or "label": "full_refusal" (neither: the verdict that it supersedes is taken back),
     "rater": "anna", "blind": false, "seen_judge": true, "p_selected": null,
     "made_at": "2026-11-28T09:30:00.123456+00:00", "supersedes": null}

A point chosen for a study (table `choice`):

    {"form": "choice/1", "study_id": "y1_…", "checkpoint_id": "c1_…", "rule": "the rule, as JSON",
     "store_revision": 17, "evidence_sha256": "64 hex digits", "who": "anna", "note": "why, at most 4,000 characters",
     "made_at": "…", "supersedes": null}

`supersedes` is the id of the verdict or choice that this one takes the place of; both stay in the store. Writing:
`eval.inbox.slips.put(store, VerdictSlip(...))`; reading what waits: `eval.inbox.slips.waiting(store)`; taking in:
`eval.inbox.taking.take_in(store)`.
"""
