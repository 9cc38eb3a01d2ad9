-- Content carries no study; studies link to it, so that equal work is shared and renaming is free.

CREATE TABLE prompt_set (
  set_id VARCHAR PRIMARY KEY,          -- hash of name, version and items
  name VARCHAR NOT NULL,
  version VARCHAR NOT NULL,            -- first 12 digits of sha256
  sha256 VARCHAR NOT NULL,             -- of the file's bytes
  licence VARCHAR NOT NULL,
  redistributable BOOLEAN NOT NULL
);
CREATE TABLE prompt (
  prompt_id VARCHAR PRIMARY KEY,       -- hash of the messages
  messages VARCHAR NOT NULL            -- JSON list of {role, content}
);
CREATE TABLE text (
  text_id VARCHAR PRIMARY KEY,         -- hash of the body
  body VARCHAR NOT NULL                -- every long text once
);
CREATE TABLE set_item (
  set_id VARCHAR NOT NULL,
  item_key VARCHAR NOT NULL,
  prompt_id VARCHAR NOT NULL,
  kind VARCHAR NOT NULL CHECK (kind IN ('harmful', 'borderline', 'benign')),
  category VARCHAR[] NOT NULL,         -- up to three levels, widest first
  group_id VARCHAR NOT NULL,           -- same subject, contrast pair or conversation
  split VARCHAR NOT NULL CHECK (split IN ('select', 'confirm')),
  reference_text_id VARCHAR,
  reference_refusal VARCHAR CHECK (reference_refusal IN ('none', 'partial', 'full')),
  reference_refusal_source VARCHAR,    -- human, or the judge_id that labelled the reference
  weight DOUBLE NOT NULL DEFAULT 1,
  PRIMARY KEY (set_id, item_key)
);
CREATE TABLE checkpoint (
  checkpoint_id VARCHAR PRIMARY KEY,
  kind VARCHAR NOT NULL CHECK (kind IN ('merge', 'base', 'model-safe', 'model-useful', 'served', 'other')),
  label VARCHAR NOT NULL,              -- short name for tables: r 0.45, model-safe
  method VARCHAR,                      -- this and what follows: of merge points only
  mode VARCHAR,
  ratio DECIMAL(9, 6),
  density_safe DECIMAL(9, 6),
  density_useful DECIMAL(9, 6),
  lambda_ DECIMAL(9, 6),
  mask_seed BIGINT,
  normalize BOOLEAN,
  rescale BOOLEAN,
  recipe VARCHAR NOT NULL              -- JSON: input hashes, threads, versions, mergekit config
);
CREATE TABLE sampling (
  sampling_id VARCHAR PRIMARY KEY,
  setting VARCHAR NOT NULL             -- JSON of what changes text: template hash, temperature, max_tokens, engine kind, dtype, study seed
);
CREATE TABLE answer (
  answer_id VARCHAR PRIMARY KEY,       -- hash of the four below
  checkpoint_id VARCHAR NOT NULL,
  prompt_id VARCHAR NOT NULL,
  sampling_id VARCHAR NOT NULL,
  sample_ix INTEGER NOT NULL,
  error_kind VARCHAR                   -- eval.engine.AnswerError: no text then; NULL where it answered
);
CREATE TABLE answer_turn (
  answer_id VARCHAR NOT NULL,
  turn INTEGER NOT NULL,
  text_id VARCHAR NOT NULL,
  finish_reason VARCHAR NOT NULL CHECK (finish_reason IN ('stop', 'length')),
  tokens INTEGER NOT NULL,
  PRIMARY KEY (answer_id, turn)
);
CREATE TABLE judge (
  judge_id VARCHAR PRIMARY KEY,
  name VARCHAR NOT NULL,
  kind VARCHAR NOT NULL CHECK (kind IN ('llm', 'proxy', 'classifier')),
  setting VARCHAR NOT NULL,            -- JSON: model asked, host, rubric sha256, decoding, output mode, language
  trust VARCHAR NOT NULL CHECK (trust IN ('trusted', 'not trusted', 'not calibrated'))
);
CREATE TABLE judgement (
  judgement_id VARCHAR PRIMARY KEY,    -- hash of all that the judge is shown, judge_id and repeat
  judge_id VARCHAR NOT NULL,
  prompt_id VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,               -- kind of the item: it decides the rubric
  text_id VARCHAR NOT NULL,            -- the judged answer
  reference_text_id VARCHAR,
  repeat INTEGER NOT NULL,
  reported_model VARCHAR,
  raw_text_id VARCHAR,                 -- what the judge said, whole
  tokens INTEGER,
  cost DOUBLE,                         -- in the recipe's currency
  error_kind VARCHAR                   -- eval.judge.ErrorKind: unscored then
);
CREATE TABLE score (
  judgement_id VARCHAR NOT NULL,
  axis VARCHAR NOT NULL,
  value DOUBLE CHECK (NOT isnan(value)),
  label VARCHAR,
  reason VARCHAR,
  PRIMARY KEY (judgement_id, axis),
  CHECK ((value IS NULL) <> (label IS NULL))
);
CREATE TABLE axis (
  name VARCHAR PRIMARY KEY,
  scale VARCHAR NOT NULL CHECK (scale IN ('ordinal', 'nominal')),
  min DOUBLE,
  max DOUBLE,
  higher_is_better BOOLEAN
);
CREATE TABLE verdict (                 -- people's; append-only
  verdict_id VARCHAR PRIMARY KEY,
  text_id VARCHAR NOT NULL,
  prompt_id VARCHAR NOT NULL,
  axis VARCHAR NOT NULL,
  value DOUBLE CHECK (NOT isnan(value)),
  label VARCHAR,
  rater VARCHAR NOT NULL,
  blind BOOLEAN NOT NULL,
  seen_judge BOOLEAN NOT NULL,
  p_selected DOUBLE,
  made_at TIMESTAMP NOT NULL,
  supersedes VARCHAR
);
CREATE TABLE choice (
  choice_id VARCHAR PRIMARY KEY,
  study_id VARCHAR NOT NULL,
  checkpoint_id VARCHAR NOT NULL,
  rule VARCHAR NOT NULL,               -- JSON
  store_revision BIGINT NOT NULL,
  evidence_sha256 VARCHAR NOT NULL,
  who VARCHAR NOT NULL,
  made_at TIMESTAMP NOT NULL,
  note VARCHAR NOT NULL,
  supersedes VARCHAR
);
CREATE TABLE study (
  study_id VARCHAR PRIMARY KEY,
  name VARCHAR NOT NULL,
  recipe VARCHAR NOT NULL,             -- JSON of the whole recipe
  recipe_hash VARCHAR NOT NULL
);
CREATE TABLE study_checkpoint (study_id VARCHAR NOT NULL, checkpoint_id VARCHAR NOT NULL, role VARCHAR NOT NULL, PRIMARY KEY (study_id, checkpoint_id, role));
CREATE TABLE study_set (study_id VARCHAR NOT NULL, set_id VARCHAR NOT NULL, PRIMARY KEY (study_id, set_id));
CREATE TABLE study_judge (study_id VARCHAR NOT NULL, judge_id VARCHAR NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (study_id, judge_id));
CREATE TABLE study_sampling (study_id VARCHAR NOT NULL, sampling_id VARCHAR NOT NULL, PRIMARY KEY (study_id, sampling_id));
CREATE TABLE estimate (
  study_id VARCHAR NOT NULL,
  checkpoint_id VARCHAR NOT NULL,
  judge_id VARCHAR NOT NULL,
  metric VARCHAR NOT NULL,
  scope VARCHAR NOT NULL,              -- all, set:NAME, or category:L1
  split VARCHAR NOT NULL CHECK (split IN ('all', 'select', 'confirm')),
  value DOUBLE CHECK (NOT isnan(value)),
  low DOUBLE CHECK (NOT isnan(low)),
  high DOUBLE CHECK (NOT isnan(high)),
  n INTEGER NOT NULL,
  n_unscored INTEGER NOT NULL,
  worst DOUBLE,                        -- value with every unscored answer at its worst
  best DOUBLE,
  note VARCHAR,                        -- why value is NULL
  PRIMARY KEY (study_id, checkpoint_id, judge_id, metric, scope, split)
);
CREATE TABLE revision (                -- raised with each commit that touches the triple: pages cache by it
  checkpoint_id VARCHAR NOT NULL,
  judge_id VARCHAR NOT NULL,
  set_id VARCHAR NOT NULL,
  counter BIGINT NOT NULL,
  PRIMARY KEY (checkpoint_id, judge_id, set_id)
);
INSERT INTO axis VALUES
  ('safety', 'ordinal', 1, 5, true),
  ('refusal', 'nominal', NULL, NULL, NULL),      -- none, partial, full
  ('compliance', 'nominal', NULL, NULL, NULL),   -- full_answer, partial_refusal, full_refusal
  ('fluency', 'ordinal', 1, 5, true),
  ('accuracy', 'ordinal', 1, 5, true),
  ('detail', 'ordinal', 1, 5, true),
  ('relevance', 'ordinal', 1, 5, true);
