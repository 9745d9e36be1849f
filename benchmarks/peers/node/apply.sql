-- What PostGraphile offers as a mutation: the transaction of the other peers, in one function.
CREATE SCHEMA bench;
CREATE FUNCTION bench.apply_part(memo text, invoice text, minor bigint) RETURNS public.credit_memos
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  moved public.credit_memos;
BEGIN
  SELECT * INTO moved FROM public.credit_memos WHERE id = memo FOR UPDATE;
  PERFORM 1 FROM public.invoices WHERE id = invoice FOR UPDATE;
  UPDATE public.invoices SET credit_amount = credit_amount + minor WHERE id = invoice;
  INSERT INTO public.credit_memo_parts
    (id, credit_memo_id, currency, amount, invoice_id, created_by_id, created_date, updated_by_id, updated_date)
  VALUES
    ('cmp_' || replace(gen_random_uuid()::text, '-', ''), memo, moved.currency, minor, invoice, 'usr_bench', now(), 'usr_bench', now())
  ON CONFLICT (credit_memo_id, invoice_id) DO UPDATE SET amount = credit_memo_parts.amount + excluded.amount;
  UPDATE public.credit_memos SET applied_amount = applied_amount + minor, version = version + 1, updated_date = now()
  WHERE id = memo RETURNING * INTO moved;
  RETURN moved;
END $$;
