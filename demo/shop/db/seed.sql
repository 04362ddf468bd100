CREATE TABLE product (
  id serial PRIMARY KEY,
  name text NOT NULL,
  note text NOT NULL,
  hue integer NOT NULL CHECK (hue BETWEEN 0 AND 359),
  cents integer NOT NULL CHECK (cents > 0)
);

INSERT INTO product (name, note, hue, cents) VALUES
  ('Field notebook', 'Stone paper, does not mind the rain', 38, 1400),
  ('Brass pencil', 'Gets better with every pocket', 52, 2250),
  ('River map', 'Hand drawn, 1:25 000, folds flat', 150, 1800),
  ('Day lamp', 'Burns for as long as there is light', 12, 6400),
  ('Reed flute', 'Tuned to G, cut in May', 95, 3900),
  ('Tin kettle', 'One litre, whistles a fifth', 215, 4700);
