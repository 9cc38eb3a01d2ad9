-- What a judgement took, and how its verdict was asked for.

ALTER TABLE judgement ADD COLUMN prompt_tokens INTEGER;      -- tokens is both together
ALTER TABLE judgement ADD COLUMN completion_tokens INTEGER;
ALTER TABLE judgement ADD COLUMN currency VARCHAR;           -- of cost; NULL where no price is known
ALTER TABLE judgement ADD COLUMN output VARCHAR;             -- eval.config.Output: how the verdict was asked for; NULL: none was had, or an older version asked
