-- Two answers to one prompt put before a judge, and which checkpoints a study holds against which.

ALTER TABLE judgement ADD COLUMN other_text_id VARCHAR;  -- the answer shown second, of kind pairwise; NULL where one answer is judged alone

CREATE TABLE study_pair (
  study_id VARCHAR NOT NULL,
  checkpoint_id VARCHAR NOT NULL,
  baseline_id VARCHAR NOT NULL,        -- the checkpoint that it is held against
  PRIMARY KEY (study_id, checkpoint_id)
);

INSERT INTO axis VALUES ('preference', 'nominal', NULL, NULL, NULL);  -- first, second or tie: of kind pairwise
