
    
    

select
    position as unique_field,
    count(*) as n_records

from "y"."stats"."waterfall"
where position is not null
group by position
having count(*) > 1


