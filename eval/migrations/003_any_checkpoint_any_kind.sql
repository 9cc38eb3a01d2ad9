-- Conversations of several turns, kinds of items that no judge scores, checkpoints asked in their own way, swaps.

CREATE TABLE set_item_003 (
  set_id VARCHAR NOT NULL,
  item_key VARCHAR NOT NULL,
  prompt_id VARCHAR NOT NULL,
  kind VARCHAR NOT NULL CHECK (kind IN ('harmful', 'jailbreak', 'borderline', 'benign', 'choice', 'text')),
  category VARCHAR[] NOT NULL,         -- up to three levels, widest first
  group_id VARCHAR NOT NULL,           -- same subject, contrast pair or conversation
  split VARCHAR NOT NULL CHECK (split IN ('select', 'confirm')),
  reference_text_id VARCHAR,
  reference_refusal VARCHAR CHECK (reference_refusal IN ('none', 'partial', 'full')),
  reference_refusal_source VARCHAR,    -- human, or the judge_id that labelled the reference
  weight DOUBLE NOT NULL DEFAULT 1,
  PRIMARY KEY (set_id, item_key)
);
INSERT INTO set_item_003 SELECT * FROM set_item;
DROP TABLE set_item;
ALTER TABLE set_item_003 RENAME TO set_item;

ALTER TABLE answer ADD COLUMN text_id VARCHAR;  -- what is judged: the turn's text, or all turns of a conversation; NULL where it failed
UPDATE answer SET text_id = answer_turn.text_id FROM answer_turn
WHERE answer_turn.answer_id = answer.answer_id AND answer_turn.turn = 0;

CREATE TABLE likelihood (              -- of an item of kind text: how likely a checkpoint holds it
  answer_id VARCHAR PRIMARY KEY,
  log_likelihood DOUBLE NOT NULL CHECK (isfinite(log_likelihood)),  -- natural, summed over tokens
  tokens INTEGER NOT NULL,
  bytes INTEGER NOT NULL               -- of the text in UTF-8
);

CREATE TABLE swap (                    -- weights as they went into an engine
  checkpoint_id VARCHAR PRIMARY KEY,
  sha256 VARCHAR NOT NULL,             -- over names, dtypes, shapes and bytes of all tensors
  tensors INTEGER NOT NULL,
  bytes BIGINT NOT NULL
);

CREATE TABLE study_checkpoint_003 (
  study_id VARCHAR NOT NULL,
  checkpoint_id VARCHAR NOT NULL,
  role VARCHAR NOT NULL,
  sampling_id VARCHAR NOT NULL,        -- how this checkpoint is asked in this study
  samples INTEGER NOT NULL,            -- answers to a prompt that count; the store may have more
  PRIMARY KEY (study_id, checkpoint_id, role)
);
INSERT INTO study_checkpoint_003
SELECT study_id, checkpoint_id, role, sampling_id, coalesce((
  SELECT max(sample_ix) + 1 FROM answer
  WHERE answer.checkpoint_id = linked.checkpoint_id AND answer.sampling_id = linked.sampling_id
), 1)
FROM (
  SELECT study_id, checkpoint_id, role, min(sampling_id) AS sampling_id
  FROM study_checkpoint JOIN study_sampling USING (study_id) GROUP BY ALL
) AS linked;
DROP TABLE study_checkpoint;
ALTER TABLE study_checkpoint_003 RENAME TO study_checkpoint;
DROP TABLE study_sampling;

CREATE TABLE study_judge_003 (
  study_id VARCHAR NOT NULL,
  judge_id VARCHAR NOT NULL,
  position INTEGER NOT NULL,
  repeats INTEGER NOT NULL,            -- judgements of an answer that count; the store may have more
  PRIMARY KEY (study_id, judge_id)
);
INSERT INTO study_judge_003
SELECT study_id, judge_id, position,
  coalesce((SELECT max(repeat) + 1 FROM judgement WHERE judgement.judge_id = study_judge.judge_id), 1)
FROM study_judge;
DROP TABLE study_judge;
ALTER TABLE study_judge_003 RENAME TO study_judge;

INSERT INTO axis VALUES ('correct', 'nominal', NULL, NULL, NULL);  -- right or wrong: of items of kind choice
