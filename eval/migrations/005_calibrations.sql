-- Judges held against people's labels.

CREATE TABLE calibration (
  calibration_id VARCHAR PRIMARY KEY,  -- hash of judge and labels
  judge_id VARCHAR NOT NULL,
  labels_sha256 VARCHAR NOT NULL,      -- of the label file's bytes, or of several hashes
  name VARCHAR NOT NULL,               -- of the label file; the newest calibration by a name counts
  language VARCHAR,                    -- the judge's: ja or en
  n INTEGER NOT NULL,                  -- labelled answers
  trust VARCHAR NOT NULL CHECK (trust IN ('trusted', 'not trusted', 'not calibrated')),  -- what these labels say
  report VARCHAR NOT NULL,             -- JSON: eval.calibration.Report
  made_at TIMESTAMP NOT NULL
);
