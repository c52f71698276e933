
    
    

select
    "table" as unique_field,
    count(*) as n_records

from "y"."stats"."shard_fill"
where "table" is not null
group by "table"
having count(*) > 1


