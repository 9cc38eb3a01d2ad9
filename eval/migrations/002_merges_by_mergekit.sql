-- Merge points that mergekit itself makes, one run per point, and what only those have.

CREATE TABLE checkpoint_002 (
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
  recipe VARCHAR NOT NULL,             -- JSON: input hashes, threads, versions, mergekit config
  way VARCHAR CHECK (way IN ('blend', 'mergekit')),  -- from masks drawn once, or a run of mergekit for this point
  int8_mask BOOLEAN,
  gradient DECIMAL(9, 6)[]             -- factors on the ratio from the first layer to the last; empty: none
);
INSERT INTO checkpoint_002
SELECT *, CASE WHEN kind = 'merge' THEN 'blend' END, CASE WHEN kind = 'merge' THEN false END,
  CASE WHEN kind = 'merge' THEN []::DECIMAL(9, 6)[] END
FROM checkpoint;
DROP TABLE checkpoint;
ALTER TABLE checkpoint_002 RENAME TO checkpoint;
